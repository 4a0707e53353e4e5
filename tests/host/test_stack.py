"""The five services: running what this repository says, healthy, and doing what callers need."""

from __future__ import annotations

import hashlib
import json
import shlex

import pytest

from on_host.weights.architecture import GUARD_SHAPE, VOXTRAL_SHAPE
from tests.host.conftest import Deployed
from voicestack.gpu.dimensions import dimensions_of
from voicestack.paths import HOME
from voicestack.settings.ports import listeners
from voicestack.stack.render import SERVICES, services


@pytest.mark.parametrize("service", SERVICES)
def test_the_service_is_healthy(deployed: Deployed, service: str) -> None:
    if service not in services(deployed.settings):
        assert service not in deployed.containers
        return
    state = deployed.containers[service]["State"]
    assert state["Status"] == "running"
    assert state["Health"]["Status"] == "healthy"


def test_every_container_runs_what_the_files_say(deployed: Deployed) -> None:
    assert json.loads(deployed.output(f"python3 {HOME}/bin/start.py --check")) == {}


def test_no_file_was_edited_by_hand(deployed: Deployed) -> None:
    paths = " ".join(shlex.quote(path) for path in deployed.files)
    output = deployed.run.run(f"sha256sum {paths}").stdout
    found = {path: digest for digest, path in (line.split(maxsplit=1) for line in output.splitlines())}
    wanted = {path: hashlib.sha256(file.content).hexdigest() for path, file in deployed.files.items()}
    assert sorted(path for path in wanted if found.get(path) != wanted[path]) == []


def test_secrets_are_roots_alone(deployed: Deployed) -> None:
    listing = deployed.output(
        f"find {HOME}/env {HOME}/secrets {HOME}/livekit/keys.yaml -type f -printf '%m %u %p\\n'"
    ).splitlines()
    assert len(listing) >= len(services(deployed.settings)) + 3
    assert [line for line in listing if not line.startswith("600 root ")] == []


def test_what_runs_is_kept_as_a_healthy_release_that_is_roots_alone(deployed: Deployed) -> None:
    kept = json.loads(deployed.output(f"python3 {HOME}/bin/start.py --releases"))
    in_use = [each for each in kept["releases"] if each["number"] == kept["current"]]
    assert [each["healthy"] for each in in_use] == [True]
    running = {service: each["Image"] for service, each in deployed.containers.items()}
    assert {service: image for service, (_, image) in in_use[0]["images"].items()} == running
    assert deployed.output(f"stat -c '%a %U' {HOME}/releases") == "700 root"


def test_no_container_may_download_models(deployed: Deployed) -> None:
    for service in services(deployed.settings):
        assert "HF_HUB_OFFLINE=1" in deployed.containers[service]["Config"]["Env"], service


def test_the_models_have_the_dimensions_that_their_memory_was_planned_with(deployed: Deployed) -> None:
    settings = deployed.settings
    documents = {f"{settings.model_path(settings.voxtral.model)}/params.json": VOXTRAL_SHAPE}
    if settings.guard.is_here:
        documents[f"{settings.model_path(settings.guard.model)}/config.json"] = GUARD_SHAPE
    for path, planned in documents.items():
        assert dimensions_of(json.loads(deployed.run.file(path).content_string)) == dimensions_of(planned), path


def test_the_card_keeps_the_headroom_free(deployed: Deployed) -> None:
    query = "nvidia-smi --query-gpu=memory.free --format=csv,noheader,nounits"
    for free in deployed.output(query).splitlines():
        assert int(free) >= deployed.settings.gpu.headroom_gib * 1024


def test_only_the_public_ports_listen_beyond_loopback(deployed: Deployed) -> None:
    public = [each for each in listeners(deployed.settings) if each.is_public]
    unexpected = []
    for line in deployed.output("ss -Hlntup").splitlines():
        protocol, _, _, _, local, _, *users = line.split()
        address, _, port = local.rpartition(":")
        program = users[0] if users else ""
        if address.startswith(("127.", "[::1]", "[::ffff:127.")) or not _is_ours(program):
            continue
        if not any(each.protocol == protocol and each.first <= int(port) <= each.last for each in public):
            unexpected.append(line)
    assert unexpected == []


def _is_ours(users: str) -> bool:
    return any(f'"{name}"' in users for name in ("caddy", "livekit-server", "docker-proxy", "python", "python3"))


def test_finding_13_caddys_healthz_answers_on_loopback_only(deployed: Deployed) -> None:
    port = deployed.settings.caddy.health_port
    curl = "curl -s -o /dev/null -w '%{http_code}'"
    assert deployed.output(f"{curl} http://127.0.0.1:{port}/healthz") == "200"
    assert deployed.run.run(f"{curl} http://{_address(deployed)}:{port}/healthz").rc == 7


def test_callers_reach_livekit_through_caddys_tls(deployed: Deployed) -> None:
    domain = deployed.settings.site.domain
    # -k only where the certificate is of Caddy's own authority, which no browser knows.
    insecure = "-k" if deployed.settings.site.acme == "internal" else ""
    curl = f"curl -s {insecure} --resolve {domain}:443:127.0.0.1 https://{domain}/"
    assert deployed.output(curl) == "OK"


def test_voxtral_speaks_and_the_guard_judges(deployed: Deployed) -> None:
    settings = deployed.settings
    checks = {
        "vllm-voxtral": f"voxtral {settings.voxtral.port} {settings.voxtral.voice}",
        "vllm-guard": f"guard {settings.guard.port} {settings.guard.model}",
    }
    for service in services(settings):
        if (words := checks.get(service)) is None:
            continue
        container = deployed.containers[service]["Id"]
        # A proof of its own: the marker of the container's health check is put out of the way.
        program = "import sys; sys.path.insert(0, '/opt/voice/engine'); import health, pathlib; "
        program += f"health.PROVEN = pathlib.Path('/tmp/voice-test-proof'); health.PROVEN.unlink(True); "  # noqa: F541
        program += f"health.check(*{words.split()!r})"
        result = deployed.run.run(f"docker exec {container} python3 -c {shlex.quote(program)}")
        assert result.rc == 0, f"{service}: {result.stdout}{result.stderr}"


def test_both_engines_see_the_gpu(deployed: Deployed) -> None:
    for service in {"vllm-voxtral", "vllm-guard"} & set(services(deployed.settings)):
        container = deployed.containers[service]["Id"]
        assert deployed.output(f"docker exec {container} nvidia-smi -L").startswith("GPU 0: ")


def test_the_agent_says_it_is_ready_for_callers(deployed: Deployed) -> None:
    agent = deployed.containers["voice-agent"]
    _, *words = agent["Config"]["Healthcheck"]["Test"]  # the image's own: it may be another agent's
    assert deployed.run.run(f"docker exec {agent['Id']} {shlex.join(words)}").rc == 0


def _address(deployed: Deployed) -> str:
    return deployed.output("hostname -I").split()[0]
