"""The audit's comparisons: silent about a host that is as wanted, and one finding for each thing that is not."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import default_data
from voicestack.audit import containers, files, machine, network, weights
from voicestack.audit.facts import Certificate, Container, HostState, LiveFile, parse
from voicestack.audit.findings import Audit, Finding
from voicestack.host.docker import DockerState, daemon_config
from voicestack.host.nvidia import DriverState
from voicestack.host.packages import AptState
from voicestack.host.platform import Platform
from voicestack.host.report import Socket
from voicestack.parts import wanted_packages
from voicestack.remote import File
from voicestack.settings.load import parse as parse_settings
from voicestack.settings.model import Settings
from voicestack.settings.ports import listeners
from voicestack.verify.document import Documents
from voicestack.weights.state import OnDisk, WeightsDirectory

UBUNTU = Platform("ubuntu", "2404", "noble", "6.8.0-1029-aws", "aws")
NOW = 1_800_000_000
DAY = 86_400
HOME = "/opt/voice"
COMPOSE = f"{HOME}/compose.yml"
GUARD = "vllm-guard"


@pytest.fixture
def clone(settings: Settings) -> dict[str, File]:
    return files.wanted_files(settings, UBUNTU, "192.0.2.10")


@pytest.fixture
def services(clone: dict[str, File]) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(clone[COMPOSE].content)["services"]
    return found


@pytest.fixture
def healthy(clone: dict[str, File], services: dict[str, Any], settings: Settings) -> HostState:
    """A host exactly as wanted."""
    ids = {service: hashlib.sha256(service.encode()).hexdigest() for service in services}
    single = [each for each in listeners(settings) if not each.is_range]
    public = [Socket(each.protocol, f"*:{each.first}", "x", ids["livekit"]) for each in single if each.is_public]
    by = dict.fromkeys(network.PUBLISHED, ("docker-proxy", "-"))
    local = [
        Socket("tcp", f"127.0.0.1:{each.first}", *by.get(each.name, ("x", ids["livekit"])))
        for each in single
        if not each.is_public
    ]
    return HostState(
        now=NOW,
        files={path: live(file) for path, file in clone.items()},
        secrets={
            f"{HOME}/secrets": "700 0",
            f"{HOME}/releases": "700 0",
            **dict.fromkeys(files.REQUIRED_SECRETS, "600 0"),
        },
        others=(*clone, f"{HOME}/.running.json", f"{HOME}/livekit/keys.yaml.20261123T120000Z"),
        containers=tuple(container(name, each, ids[name]) for name, each in services.items()),
        differences={},
        listeners=(*public, *local, Socket("tcp", "0.0.0.0:22", "sshd", "-")),
        certificates=(Certificate("/x/certificates/acme-v02/y.crt", NOW - 60 * DAY, NOW + 30 * DAY),),
        newest_kernel=UBUNTU.kernel,
        memory="23034, 17846",
    )


def live(file: File, **changes: Any) -> LiveFile:
    return replace(LiveFile(f"{file.mode:o} {file.uid}", hashlib.sha256(file.content).hexdigest(), b""), **changes)


def container(service: str, wanted: dict[str, Any], identity: str = "0" * 64) -> Container:
    words = wanted.get("entrypoint"), wanted.get("command")
    return Container(identity, f"voice-{service}-1", service, wanted["image"], "running", 0, 0, *words)


def severities(found: list[Finding]) -> dict[str, str]:
    return {each.subject: each.severity for each in found if each.severity != "ok"}


def test_a_host_as_wanted_has_no_findings(clone: dict[str, File], settings: Settings, healthy: HostState) -> None:
    found = [
        *files.files(clone, healthy),
        *files.others(clone, healthy),
        *files.secrets(healthy),
        *containers.containers(clone[COMPOSE].content, healthy),
        *machine.reboot(UBUNTU.kernel, healthy),
        *machine.memory(settings.plan, healthy),
        *network.ports(settings, healthy, 22),
        *network.certificates(settings, healthy),
    ]
    assert severities(found) == {}
    assert Audit("example.org", found, strict=True).lines()[-1] == "PASSED: 0 differences, 0 warnings"


def test_what_a_run_writes_is_what_is_compared(clone: dict[str, File], services: dict[str, Any]) -> None:
    assert {COMPOSE, f"{HOME}/env/voice-agent.env", "/etc/sysctl.d/60-voice.conf"} <= clone.keys()
    assert "/etc/apt/sources.list.d/voice-docker.sources" in clone
    assert services["livekit"]["command"] == ["--config", "/etc/livekit/livekit.yaml"]
    words = [word for each in services.values() for word in each.get("command", []) + each.get("entrypoint", [])]
    assert {type(word) for word in words} == {str}


def test_an_edited_file_is_shown_and_a_missing_and_an_open_one_are_named(
    clone: dict[str, File], healthy: HostState
) -> None:
    caddyfile, environment, daemon = f"{HOME}/caddy/Caddyfile", f"{HOME}/env/caddy.env", f"{HOME}/bin/start.py"
    edited = clone[caddyfile].content.replace(b"respond 404", b"respond 200")
    changed = {
        **healthy.files,
        caddyfile: live(File(edited), content=edited),
        environment: replace(healthy.files[environment], owner="644 0"),
    }
    del changed[daemon]
    found = {each.subject: each for each in files.files(clone, replace(healthy, files=changed))}
    assert found.keys() == {caddyfile, environment, daemon}
    assert found[caddyfile].diff[-3:] == ("-\trespond 200", "+\trespond 404", " }")
    assert "644 0, not 600 0" in found[environment].detail
    assert found[daemon].detail == "is missing"


def test_a_secret_that_others_can_read_or_that_is_missing_fails(healthy: HostState) -> None:
    found = severities(files.secrets(replace(healthy, secrets={f"{HOME}/secrets/livekit.env": "640 0"})))
    assert found == dict.fromkeys(files.REQUIRED_SECRETS, "fail")
    opened = {**healthy.secrets, f"{HOME}/releases": "755 0"}
    assert severities(files.secrets(replace(healthy, secrets=opened))) == {f"{HOME}/releases": "fail"}


def test_another_file_in_the_stacks_home_is_a_warning(clone: dict[str, File], healthy: HostState) -> None:
    state = replace(healthy, others=(*healthy.others, f"{HOME}/caddy/old.conf"))
    assert severities(files.others(clone, state)) == {f"{HOME}/caddy/old.conf": "warn"}


def test_start_pys_reasons_are_the_findings(clone: dict[str, File], healthy: HostState) -> None:
    state = replace(healthy, differences={GUARD: "is exited"})
    (found,) = containers.containers(clone[COMPOSE].content, state)
    assert (found.severity, found.subject, found.detail) == ("fail", GUARD, "is exited")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": "vllm/vllm-omni:v0.17.0"}, "runs the image vllm/vllm-omni:v0.17.0, not vllm/vllm-omni:v0.18.0"),
        ({"command": ["vllm", "serve"]}, "runs with another command"),
        ({"entrypoint": None}, "runs with another entrypoint"),
        ({"service": "telephony"}, "is not a service of this clone's settings"),
    ],
)
def test_a_container_of_another_image_or_with_other_words_fails(
    clone: dict[str, File], services: dict[str, Any], healthy: HostState, change: dict[str, Any], said: str
) -> None:
    others = [each for each in healthy.containers if each.service != GUARD]
    altered = replace(container(GUARD, services[GUARD]), **change)
    (found,) = containers.containers(clone[COMPOSE].content, replace(healthy, containers=(*others, altered)))
    assert (found.severity, found.detail) == ("fail", said)


def test_the_words_that_differ_are_shown(clone: dict[str, File], services: dict[str, Any]) -> None:
    def diff(command: list[str]) -> list[tuple[str, tuple[str, ...]]]:
        state = HostState(containers=(replace(container(GUARD, services[GUARD]), command=command),), differences={})
        return [(each.detail, each.diff) for each in containers.containers(clone[COMPOSE].content, state)]

    command = services[GUARD]["command"]
    altered = ["--max-num-seqs=256" if word == "--max-num-seqs=4" else word for word in command]
    assert diff(altered) == [("runs with another command", ("- --max-num-seqs=256", "+ --max-num-seqs=4"))]
    assert diff(command[::-1]) == [("runs with its command in another order", ())]


def test_strangers_and_restarts_are_warnings_and_a_runs_own_container_is_none(
    clone: dict[str, File], healthy: HostState
) -> None:
    stranger = Container("1" * 64, "minio", "", "minio:1", "exited", 0, 137, None, None)
    gate = replace(stranger, name="voice-gate")
    restarted = replace(healthy.containers[0], restarts=3)
    found = containers.containers(clone[COMPOSE].content, replace(healthy, containers=(restarted, stranger, gate)))
    assert severities(found) == {"livekit": "warn", "minio": "warn"}
    assert "exited, exit status 137" in found[1].detail


def test_a_host_that_cannot_be_compared_is_no_healthy_one(clone: dict[str, File]) -> None:
    assert severities(containers.containers(clone[COMPOSE].content, HostState())) == {"the stack": "fail"}
    broken = HostState(faults={"start.py --check": "exit status 15"})
    assert severities(containers.containers(clone[COMPOSE].content, broken)) == {"start.py --check": "fail"}


def test_ports(settings: Settings, healthy: HostState) -> None:
    def judged(*more: Socket, without: int = 0) -> dict[str, str]:
        kept = tuple(each for each in healthy.listeners if each.port != without)
        return severities(network.ports(settings, replace(healthy, listeners=(*kept, *more)), 2222))

    own = healthy.containers[0].id
    assert judged(without=443) == {"tcp 443": "fail"}
    assert judged(Socket("tcp", "0.0.0.0:443", "nginx", "-"), without=443) == {"tcp 443": "fail"}
    assert judged(Socket("tcp", "0.0.0.0:443", "docker-proxy", "-"), without=443) == {"tcp 443": "fail"}
    assert judged(Socket("tcp", "127.0.0.1:7880", "docker-proxy", "-"), without=7880) == {"tcp 7880": "fail"}
    assert judged(Socket("tcp", "0.0.0.0:8000", "docker-proxy", "-"), without=8000) == {"tcp 8000": "fail"}
    assert judged(Socket("tcp", "0.0.0.0:9999", "python3", "-")) == {"tcp 0.0.0.0:9999": "warn"}
    assert judged(Socket("tcp", "[::]:9999", "python3", own)) == {"tcp [::]:9999": "warn"}
    silent = (
        Socket("udp", "0.0.0.0:50010", "livekit-server", own),
        Socket("udp", "0.0.0.0:41234", "python", own),
        Socket("tcp", "[::1]:631", "cupsd", "-"),
        Socket("udp", "127.0.0.53%lo:53", "systemd-resolve", "-"),
        Socket("udp", "10.0.0.4%ens5:68", "systemd-network", "-"),
        Socket("tcp", "[::]:2222", "sshd", "-"),
        Socket("tcp", "[::]:22", "systemd", "-"),
    )
    assert judged(*silent) == {}
    for at in (("udp", "0.0.0.0:50010"), ("udp", "10.0.0.4:68"), ("tcp", "0.0.0.0:2222")):
        assert judged(Socket(*at, "iperf", "-")) == {" ".join(at): "warn"}


def test_docker_listens_for_the_services_that_publish_a_port_alone(
    services: dict[str, Any], settings: Settings
) -> None:
    published = {line for service in services.values() for line in service.get("ports", [])}
    ports = {each.name: each.first for each in listeners(settings) if not each.is_public}
    assert published == {f"127.0.0.1:{ports[name]}:{ports[name]}" for name in network.PUBLISHED}


STAGING = "acme-staging-v02.api.letsencrypt.org-directory"


@pytest.mark.parametrize(
    ("acme", "folder", "life_h", "left_h", "severity"),
    [
        ("production", "acme-v02", 90 * 24, 15 * 24, "ok"),
        ("production", "acme-v02", 90 * 24, 13 * 24, "warn"),
        ("production", "acme-v02", 90 * 24, -1, "fail"),
        ("production", "acme-v02", 6 * 24, 2 * 24, "ok"),
        ("production", "local", 12, 10, "fail"),
        ("production", STAGING, 90 * 24, 80 * 24, "fail"),
        ("staging", STAGING, 90 * 24, 80 * 24, "ok"),
        ("staging", "acme-v02", 90 * 24, 80 * 24, "fail"),
        ("internal", STAGING, 90 * 24, 80 * 24, "fail"),
        ("internal", "local", 12, 4, "ok"),
        ("internal", "local", 12, 2, "warn"),
    ],
)
def test_certificates(acme: str, folder: str, life_h: int, left_h: int, severity: str) -> None:
    ends = NOW + left_h * 3600
    state = HostState(now=NOW, certificates=(Certificate(f"/d/certificates/{folder}/x", ends - life_h * 3600, ends),))
    (found,) = network.certificates(parse_settings({**default_data(), "site_acme": acme}), state)
    assert found.severity == severity


def test_the_newest_certificate_counts_and_one_of_the_wrong_kind_does_not(settings: Settings) -> None:
    """A host that was tried with Let's Encrypt's staging authority, whose certificates no browser trusts."""

    def said(**ends: int) -> str:
        made = (Certificate(f"/d/certificates/{each}/x", NOW - DAY, NOW + days * DAY) for each, days in ends.items())
        (found,) = network.certificates(settings, HostState(now=NOW, certificates=tuple(made)))
        return found.detail

    assert said(**{STAGING: 80}) == "Caddy has none of the kind site_acme = 'production', only staging"
    assert said(**{STAGING: 80, "acme-v02": -5, "acme-v01": 40}) == "is good for 40 days"


def test_packages_off_their_pins_unheld_in_the_way(settings: Settings) -> None:
    wanted = wanted_packages(settings, UBUNTU)
    good = AptState(
        files={
            **{path: hashlib.sha256(text.encode()).hexdigest() for path, text in wanted.all_files.items()},
            **{each.keyring: "" for each in wanted.repositories},
        },
        installed={name: version or "1" for name, version in wanted.install.items()},
        held=frozenset(wanted.hold),
    )
    assert severities(machine.packages(wanted, good)) == {}
    installed = {**good.installed, "nvidia-container-toolkit": "1.20.0-1", "podman-docker": "4"}
    del installed["curl"], installed["docker-ce-cli"]
    held = good.held - {"docker-ce", "docker-ce-cli"}
    bad = replace(good, installed=installed, held=held, rivals=("/etc/apt/sources.list.d/d.list",))
    bad = replace(bad, shared={"/etc/apt/sources.list": "deb https://download.docker.com/linux/debian"})
    found = {each.subject: each.detail for each in machine.packages(wanted, bad)}
    assert found == {
        "curl": "is not installed",
        "docker-ce-cli": "is not installed",
        "nvidia-container-toolkit": "is 1.20.0-1, pinned is 1.19.1-1",
        "podman-docker": "is in the way of ours",
        "docker-ce": "is not held",
        "/etc/apt/sources.list.d/d.list": "names a repository of ours",
        "/etc/apt/sources.list": "names a repository of ours: deb https://download.docker.com/linux/debian",
    }


def test_dockers_configuration(settings: Settings) -> None:
    config = daemon_config(settings)
    good = DockerState(config=json.dumps({**config, "debug": True}), active=True, enabled=True)
    assert severities(machine.docker(config, good)) == {}
    edited = replace(good, config=json.dumps({**config, "live-restore": False}))
    (found,) = machine.docker(config, edited)
    assert [line.strip(" ,") for line in found.diff if line[0] in "+-"][2:] == [
        '-  "live-restore": false',
        '+  "live-restore": true',
    ]
    for bad in (replace(good, config="{"), replace(good, stale=True), replace(good, enabled=False), DockerState()):
        assert "fail" in severities(machine.docker(config, bad)).values()


def test_driver_and_reboot(healthy: HostState) -> None:
    good = DriverState("580.95.05", "580.95.05", "580.95.05", persistent=True, uvm=True)
    assert severities(machine.driver(good)) == {}
    assert severities(machine.driver(replace(good, installed="580.105.08"))) == {"NVIDIA": "fail"}
    assert severities(machine.driver(replace(good, persistent=False))) == {"NVIDIA": "fail"}
    assert severities(machine.driver(replace(good, uvm=False))) == {"NVIDIA": "fail"}
    pending = replace(healthy, reboot="linux-image-aws", newest_kernel="6.8.0-1030-aws")
    assert severities(machine.reboot(UBUNTU.kernel, pending)) == {"/run/reboot-required": "warn", "kernel": "warn"}


def test_weights(settings: Settings) -> None:
    state = WeightsDirectory(now=NOW)
    state.strangers["old \udcff"] = state.staged["x-0"] = state.models["x"] = OnDisk(None, {"x": 1})
    name, model = next(iter(settings.models.items()))
    state.models[name] = state.staged[f"{name}-{model.revision[:12]}"] = OnDisk(None, {"x": 1})
    found = weights.weights(settings, state)
    assert [each.subject for each in found if each.severity == "ok"] == ["/models/x"]
    assert severities(found) == {
        **dict.fromkeys(settings.models, "fail"),
        "/models/old �": "fail",
        "/models/.staging/x-0": "warn",
    }
    fixes = [each.fix for each in found if "old" in each.subject]
    state.is_ours = True
    fixes += [each.fix for each in weights.weights(settings, state) if "old" in each.subject]
    assert fixes == ["move it elsewhere; deploys/weights.py refuses to", "run deploys/weights.py: it is moved aside"]


def test_strict_counts_warnings_and_the_document_says_who_passed(tmp_path: Path) -> None:
    warning = Finding("reboot", "warn", "kernel", "old", "reboot")
    lenient, strict = Audit("example.org", [warning]), Audit("example.org", [warning], strict=True)
    assert strict.lines() == [
        "  warn  reboot       kernel: old",
        "        fix: reboot",
        "FAILED: 0 differences, 1 warning",
    ]
    documents, report = Documents(), tmp_path / "a" / "report.json"
    for host, audit in (("one", lenient), ("two", strict)):
        documents.add(host, audit.document(), str(report))
    document = json.loads(report.read_text())
    assert document["passed"] is False
    assert document["hosts"]["one"] == {
        "format": 1,
        "domain": "example.org",
        "passed": True,
        "failures": 0,
        "warnings": 1,
        "findings": [
            {"area": "reboot", "severity": "warn", "subject": "kernel", "detail": "old", "fix": "reboot", "diff": []}
        ],
    }


def test_lines_that_pyinfra_stripped_are_read() -> None:
    state = parse(["now\t1", "file\t/a\t644 0\tabc", "listener\ttcp\t*:80\t\t-", "newest_kernel", "reboot"])
    assert state.files["/a"].content == b""
    assert state.listeners[0].program == ""
    assert (state.newest_kernel, state.reboot) == ("", "")
    assert state.differences is None
    (found,) = machine.reboot(UBUNTU.kernel, state)
    assert found.detail == "asked for by a package that does not say its name"


def test_what_docker_says_of_containers_is_read(services: dict[str, Any]) -> None:
    """As the form in state.sh has it; docker's faults stand beside."""
    shown = asdict(container("livekit", services["livekit"]))
    state = parse([f"container\t{json.dumps(shown)}", "fault\tDocker\tno\tdaemon"])
    assert state.containers == (container("livekit", services["livekit"]),)
    assert state.faults == {"Docker": "no"}


@given(st.lists(st.sampled_from(["ok", "warn", "fail"])), st.booleans())
def test_a_host_passes_exactly_when_nothing_that_counts_was_found(severities: list[Any], strict: bool) -> None:
    audit = Audit("d", [Finding("a", severity, "s", "d") for severity in severities], strict)
    assert audit.passed == ("fail" not in severities and not (strict and "warn" in severities))
    assert audit.lines()[-1].startswith("PASSED" if audit.passed else "FAILED")
