"""Debian 13, as root: from a host with only sshd and systemd to a healthy stack, and what a year brings after it."""

from __future__ import annotations

import getpass
import json
import re
import shlex
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import default_data
from tests.documented import documented_command
from tests.e2e.conftest import (
    ROOT,
    LabHost,
    assert_a_run_changes_nothing,
    await_that,
    catalog,
    copied,
    fresh_host,
    lab,
    lab_token,
    refused_by_bedrock,
)
from tests.lab.hub.models import NEWER
from tests.lab.lock import locked
from voicestack.host import docker
from voicestack.host.nvidia import UVM_SERVICE
from voicestack.remote import script_file
from voicestack.secrets.run import SECRETS
from voicestack.settings.model import Settings
from voicestack.stack.render import SERVICES

pytestmark = pytest.mark.usefixtures("lab_services")


@pytest.fixture(scope="module")
def host(lab_services: None) -> Iterator[LabHost]:
    with locked("hub", shared=True):
        yield fresh_host("debian")


def healthy(host: LabHost) -> list[str]:
    lines = host.shell("docker ps --filter health=healthy --format '{{.Label \"com.docker.compose.service\"}}'")
    return sorted(lines.splitlines())


def await_healthy(host: LabHost, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while healthy(host) != sorted(SERVICES):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s only {healthy(host)} are healthy")
        time.sleep(1)


def fingerprint(host: LabHost) -> str:
    """What a run that changes nothing leaves as it was: packages, and files with their times."""
    return host.shell("dpkg-query -W | sha256sum; ls -laR --time-style=full-iso /etc /opt /usr/local | sha256sum")


def test_preflight_names_three_faults_at_once_and_changes_nothing(host: LabHost) -> None:
    before = fingerprint(host)
    host.shell("systemd-run --quiet --unit=squatter --socket-property=ListenStream=443 cat")
    run = host.deploy("--data", "preflight_memory_gib=4000", "--data", "preflight_disk_models_gib=90000")
    host.shell("systemctl stop squatter.socket")
    assert run.status == 1
    assert "failed preflight with 3 findings; nothing was changed" in run.printed
    assert "systemd already listens on tcp *:443" in run.printed
    assert "4000 GiB are needed (preflight_memory_gib)" in run.printed
    assert "GiB are needed (preflight_disk_*)" in run.printed
    assert fingerprint(host) == before


def test_a_version_that_no_repository_offers_is_named_and_changes_nothing(host: LabHost) -> None:
    """A bare host has neither curl nor the vendors' keys."""
    before = fingerprint(host)
    versions = {**default_data()["docker_versions"], "docker-ce": "5:28.99.0-1"}
    wrong = {"docker_versions": json.dumps(versions), "nvidia_toolkit_version": "1.19.99-1"}
    run = host.deploy(*(word for key, value in wrong.items() for word in ("--data", f"{key}={value}")))
    assert run.status == 1
    assert "failed preflight with 2 findings; nothing was changed" in run.printed
    assert "docker_versions: its repository does not offer docker-ce 5:28.99.0-1~debian.13~trixie" in run.printed
    assert "(the newest there: 5:29.8.2-1~debian.13~trixie)" in run.printed
    assert "nvidia_toolkit_version: its repository does not offer" in run.printed
    assert fingerprint(host) == before


def test_a_dry_run_on_a_bare_host_plans_and_changes_nothing(host: LabHost) -> None:
    before = fingerprint(host)
    run = host.deploy(dry=True)
    assert run.status == 0, run.printed[-4000:]
    unplanned = [operation["name"] for operation in run.result["plan"] if not operation["hosts_with_change"]]
    assert [name.split()[:2] for name in unplanned] == [["Ask", "Bedrock"]]
    assert len(run.result["plan"]) >= 15
    assert fingerprint(host) == before


def test_mistakes_in_the_settings_are_reported_before_anything_connects(host: LabHost) -> None:
    run = host.deploy("--data", "voxtral_voice=de_robot", "--data", "guard_contxt=4096")
    assert run.status == 1
    assert "2 settings cannot work; nothing was changed" in run.printed
    assert "did you mean guard_context?" in run.printed
    assert "Connected" not in run.printed


def test_a_plan_that_does_not_fit_the_card_is_refused_before_anything_connects(host: LabHost) -> None:
    run = host.deploy("--data", "guard_sequences=160")
    assert run.status == 1
    assert "guard_sequences: card 0 (L4, 22.03 GiB usable) would have to give" in run.printed
    assert "any one of these fits: guard_sequences: 160 -> " in run.printed
    assert "Connected" not in run.printed


def test_a_bare_host_becomes_a_healthy_stack_and_another_run_meanwhile_is_refused(host: LabHost) -> None:
    running = host.start_deploy()
    await_that(lambda: "voice.py" in host.shell("cat /run/voice-run.lock", check=False), "the run has the lock")
    other = host.deploy()
    run = running.wait()
    assert run.status == 0, run.printed[-4000:]
    assert healthy(host) == sorted(SERVICES)
    assert other.status == 1
    assert "another run is at work since" in other.printed
    assert f": deploys/voice.py of {getpass.getuser()} on {socket.gethostname()} (commit" in other.printed


def test_the_host_has_a_record_of_the_run_through_its_reboot(host: LabHost) -> None:
    """The refused runs before it, and the dry one, changed nothing and left nothing."""
    (record,) = [json.loads(line) for line in host.shell("cat /var/log/voice/runs.jsonl").splitlines()]
    assert record["what"] == "deploys/voice.py"
    assert record["commit"] != "unknown"
    done = re.fullmatch(r"done: (\d+) of (\d+) operations changed something", record["outcome"])
    assert done
    assert int(done[1]) == int(done[2]) - 1  # Bedrock was asked, which changes nothing


def test_the_host_rebooted_because_nouveau_held_the_card(host: LabHost) -> None:
    assert len(json.loads(host.shell("journalctl --list-boots -o json"))) == 2


def test_a_second_run_changes_nothing_and_restarts_nothing(host: LabHost) -> None:
    assert_a_run_changes_nothing(host)
    last = json.loads(host.shell("tail -n 1 /var/log/voice/runs.jsonl"))
    assert last["outcome"].startswith("done: 0 of ")


@pytest.mark.parametrize(
    ("control", "words"),
    [
        ("deny", "the AWS account has no access to agent_bedrock_model"),
        ("forbid", "AWS denies it: the instance's role (or the agent's key) needs bedrock:InvokeModelWithResponse"),
        ("end", "agent_bedrock_model is at its end"),
    ],
)
def test_a_run_ends_in_words_when_bedrock_does_not_answer_and_the_services_stay(
    host: LabHost, control: str, words: str
) -> None:
    before = host.containers()
    with refused_by_bedrock(host.name, control):
        run = host.deploy()
    assert run.status == 1
    assert (
        f"Bedrock does not answer the agent; eu.mistral.pixtral-large-2502-v1:0 in eu-central-1: {words}" in run.printed
    )
    for told in ("Traceback", "arn:aws", "assumed-role", "is put back"):
        assert told not in run.printed
    assert host.containers() == before
    assert json.loads(host.shell("tail -n 1 /var/log/voice/runs.jsonl"))["outcome"].startswith("failed: Ask Bedrock")
    assert_a_run_changes_nothing(host)


def test_a_run_that_is_killed_lets_go_of_the_lock_and_is_recorded(host: LabHost) -> None:
    running = host.start_deploy("--data", "weights_verify=deep")
    await_that(lambda: "voice.py" in host.shell("cat /run/voice-run.lock", check=False), "the run has the lock")
    running.kill()
    await_that(lambda: host.shell("cat /run/voice-run.lock") == "", "the lock is free")
    assert_a_run_changes_nothing(host)


def test_a_dry_run_on_a_finished_host_plans_nothing(host: LabHost) -> None:
    run = host.deploy(dry=True)
    assert [operation["name"] for operation in run.result["plan"] if operation["hosts_with_change"]] == []


def test_testinfra_agrees(host: LabHost) -> None:
    result = host.host_tests()
    assert result.returncode == 0, result.stdout[-4000:]


def test_testinfra_is_red_when_a_service_is_stopped(host: LabHost) -> None:
    for service in SERVICES:
        container = host.shell(f"docker ps -q --filter label=com.docker.compose.service={service}")
        host.shell(f"docker stop {container}")
        try:
            result = host.host_tests("-k", "is_healthy")
            assert result.returncode == 1
            assert f"test_the_service_is_healthy[{host.name}-{service}]" in result.stdout.replace(
                f"[{service}-{host.name}]", f"[{host.name}-{service}]"
            )
        finally:
            host.shell(f"docker start {container}")
    await_healthy(host)


def test_engines_restarted_in_any_order_take_the_memory_that_is_theirs(host: LabHost) -> None:
    """An engine that warms up while the other one stops would take the other's memory, if it were left to measure."""
    host.shell("docker restart voice-vllm-voxtral-1 & docker stop voice-vllm-guard-1; wait")
    host.shell("docker start voice-vllm-guard-1")
    await_healthy(host)
    used = int(host.shell("nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits"))
    assert used < 23_034 - 1_536


def test_a_hand_edit_is_seen_by_testinfra_and_mended_by_the_next_run(host: LabHost) -> None:
    host.shell("sed -i 's/respond 404/respond 200/' /opt/voice/caddy/Caddyfile")
    result = host.host_tests("-k", "edited_by_hand")
    assert result.returncode == 1
    assert "/opt/voice/caddy/Caddyfile" in result.stdout
    before = host.containers()
    run = host.deploy()
    assert run.status == 0
    # A hand may have had Caddy load it, which nothing tells: so it reloads, and no caller notices.
    assert [name.split()[0] for name in run.changed] == ["Write", "Start"]
    assert "caddy: reloaded" in run.printed
    assert host.containers() == before
    assert host.host_tests("-k", "edited_by_hand").returncode == 0


def test_one_changed_livekit_setting_touches_only_livekit(host: LabHost) -> None:
    before = host.containers()
    run = host.deploy("--data", "livekit_log_level=warn")
    assert run.status == 0, run.printed[-4000:]
    after = host.containers()
    assert {name for name in before if before[name] != after.get(name)} == {"voice-livekit-1"}
    assert len(run.changed) == 2, run.changed
    assert host.deploy().status == 0


def test_other_weights_restart_only_the_service_that_uses_them_and_so_does_going_back(host: LabHost) -> None:
    before = host.containers()
    run = host.deploy("--data", catalog(revision=NEWER))
    assert run.status == 0, run.printed[-4000:]
    assert "vllm-voxtral: its weights were replaced" in run.printed
    newer = host.containers()
    assert {name for name in before if before[name] != newer.get(name)} == {"voice-vllm-voxtral-1"}
    back = host.deploy(program="deploys/weights.py", token="")
    assert back.status == 0, back.printed[-4000:]
    assert "back in place from /models/.replaced/" in back.printed
    after = host.containers()
    assert {name for name in newer if newer[name] != after.get(name)} == {"voice-vllm-voxtral-1"}
    assert healthy(host) == sorted(SERVICES)
    assert_a_run_changes_nothing(host)


@pytest.mark.parametrize(
    ("template", "broken", "said"),
    [
        ("Caddyfile.j2", "\nnonsense {\n", "Caddy refuses its new Caddyfile; the old one stays"),
        ("livekit.yaml.j2", "\nnonsense: 1\n", "LiveKit refuses its new livekit.yaml; the old one stays"),
        ("compose.yml.j2", "\nnonsense: 1\n", "validating /opt/voice/.staged/compose.yml"),
    ],
)
def test_a_broken_file_never_replaces_a_good_one(
    host: LabHost, tmp_path: Path, template: str, broken: str, said: str
) -> None:
    with (copied(tmp_path) / "templates" / template).open("a") as file:
        file.write(broken)
    files = "cd /opt/voice && sha256sum compose.yml caddy/Caddyfile livekit/livekit.yaml && ls releases"
    before = host.shell(files), host.containers()
    run = host.deploy(root=tmp_path)
    assert run.status == 1
    assert said in run.printed
    assert (host.shell(files), host.containers()) == before


def test_the_gpu_stays_visible_after_a_daemon_reload(host: LabHost) -> None:
    """NVIDIA's known bug would print "Failed to initialize NVML: Unknown Error" here."""
    host.shell("systemctl daemon-reload")
    for service in ("vllm-voxtral", "vllm-guard"):
        container = host.shell(f"docker ps -q --filter label=com.docker.compose.service={service}")
        assert host.shell(f"docker exec {container} nvidia-smi -L").startswith("GPU 0: ")


def test_after_a_reboot_all_are_healthy_again_in_order(host: LabHost) -> None:
    boot = host.shell("cat /proc/sys/kernel/random/boot_id")
    host.shell("systemctl reboot", check=False)
    deadline = time.monotonic() + 120
    while host.shell("cat /proc/sys/kernel/random/boot_id", check=False) in ("", boot):
        assert time.monotonic() < deadline, "the host did not come back"
        time.sleep(1)
    await_healthy(host)
    made, started = (
        int(host.shell(f"systemctl show -p {what} --value {unit}"))
        for what, unit in (
            ("ExecMainExitTimestampMonotonic", UVM_SERVICE),
            ("ExecMainStartTimestampMonotonic", "docker.service"),
        )
    )
    assert 0 < made < started
    assert host.shell("ls /dev/nvidia-uvm*").split() == ["/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"]
    voxtral_ready = host.shell("docker logs -t voice-vllm-voxtral-1 2>&1 | grep 'the engine is ready' | tail -n 1")
    guard_starts = host.shell("docker logs -t voice-vllm-guard-1 2>&1 | grep 'gpu_start: starting' | tail -n 1")
    assert voxtral_ready.split()[0] < guard_starts.split()[0]


def test_the_proof_says_why_cuda_does_not_work_where_nvidia_smi_does(host: LabHost, settings: Settings) -> None:
    """A container without nvidia-uvm's nodes; the toolkit's hook would make them if it were let."""
    config = "/etc/nvidia-container-runtime/config.toml"
    program = (ROOT / "on_host/engine/gpu_proof.py").read_text()
    proof = script_file(docker.__file__, "docker_gpu_proof.sh", settings.image.agent_base, "no proof", program)
    before = host.shell("cat /var/lib/voice/gpu-proof")
    host.shell(
        f"sed -i 's/^load-kmods = true/load-kmods = false/' {config} && rm /dev/nvidia-uvm /dev/nvidia-uvm-tools"
    )
    try:
        assert host.shell("nvidia-smi -L").startswith("GPU 0: ")
        said = host.shell(f"({proof}) 2>&1", check=False)
        assert (
            "CUDA does not work: cuInit answers 999, CUDA_ERROR_UNKNOWN: the container has no /dev/nvidia-uvm" in said
        )
        assert "`systemctl start voice-nvidia-uvm.service`" in said
        assert host.shell("cat /var/lib/voice/gpu-proof") == before
        assert "voice-gpu-proof" not in host.shell("docker ps -a")
        run = host.deploy()
    finally:
        host.shell(f"sed -i 's/^load-kmods = false/load-kmods = true/' {config}")
    assert run.status == 0, run.printed[-4000:]
    assert [name.split()[:4] for name in run.changed] == [["Load", "the", "NVIDIA", "driver,"]]
    assert host.shell("ls /dev/nvidia-uvm*").split() == ["/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"]


def test_after_a_docker_restart_nothing_was_restarted(host: LabHost) -> None:
    before = host.containers()
    host.shell(documented_command("systemctl restart docker"))
    assert host.containers() == before
    await_healthy(host)


def test_a_run_after_all_this_changes_nothing(host: LabHost) -> None:
    assert_a_run_changes_nothing(host)


def test_a_caller_hears_the_agent_speak(host: LabHost) -> None:
    program = (ROOT / "tests" / "e2e" / "caller.py").read_text()
    answer = host.shell("docker exec -i voice-voice-agent-1 /opt/venv/bin/python -", stdin=program)
    heard = json.loads(answer.splitlines()[-1])
    assert heard["heard_s"] >= 1.0
    assert heard["loudest_rms"] > 500


def test_what_is_said_to_callers_is_in_no_log(host: LabHost) -> None:
    """vllm-omni 0.18 logs the start of each sentence unless it is told not to; the lab's stand-in does so too."""
    logs = host.shell("docker ps -q | xargs -n 1 docker logs 2>&1")
    assert "the engine is ready" in logs
    assert "ask me your question" not in logs
    assert "text=" not in logs


def test_a_service_that_does_not_become_healthy_shows_its_log_and_the_likely_cause(host: LabHost) -> None:
    """Another program on the card leaves what the plan counts, and less than the stand-in takes beside its context."""
    container = "voice-vllm-guard-1"
    words = host.shell(f"docker inspect -f '{{{{join .Args \" \"}}}}' {container}").split()
    (needed,) = [int(word.partition("=")[2]) for word in words if word.startswith("--memory-mib=")]
    before = host.containers()
    host.shell(f"docker stop {container}")
    free = int(host.shell("nvidia-smi --query-gpu=memory.free --format=csv,noheader,nounits"))
    taken = json.dumps({"mib": free - needed - 100, "what": "another program"})
    # An allocation counts while its owner holds a lock on its file (tests/lab/vllm/card.py).
    file = "/run/nvidia-lab/allocations/another.json"
    hold = shlex.quote(f"echo {shlex.quote(taken)} > {file}; exec sleep infinity")
    host.shell(f"systemd-run --quiet --unit=another-program flock {file} sh -c {hold}")
    try:
        run = host.deploy("--data", "guard_start_timeout_s=901")
    finally:
        host.shell("systemctl stop another-program")
    assert run.status == 1
    assert "vllm-guard ended 3 times" in run.printed
    assert "Free memory on device cuda:0" in run.printed
    assert "likely cause: another process holds the card's memory" in run.printed
    after = host.containers()
    # The program is still on the card when the release before comes back: that one fails too, for the same reason.
    assert run.printed.count("likely cause: another process holds the card's memory") == 2
    assert re.search(r"release \d+ was put back, but is not healthy either: vllm-guard", run.printed)
    untouched = {"voice-livekit-1", "voice-caddy-1", "voice-vllm-voxtral-1"}
    assert {name: before[name] for name in untouched} == {name: after[name] for name in untouched}
    run = host.deploy()
    assert run.status == 0, run.printed[-4000:]
    assert healthy(host) == sorted(SERVICES)


def test_the_driver_is_held_and_one_upgraded_behind_our_back_is_loaded_by_one_reboot(host: LabHost) -> None:
    boots = len(json.loads(host.shell("journalctl --list-boots -o json")))
    version = "nvidia-smi --query-gpu=driver_version --format=csv,noheader"
    upgrade = "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && apt-get -qqy dist-upgrade"
    lab("driver", "newer")
    try:
        host.shell(upgrade)
        assert host.shell(version) == "580.95.05"
        host.shell("apt-mark showhold | grep nvidia | xargs apt-mark unhold")
        host.shell(upgrade)
        assert "mismatch" in host.shell("nvidia-smi", check=False)
        run = host.deploy()
    finally:
        lab("driver", "current")
    assert run.status == 0, run.printed[-4000:]
    assert host.shell(version) == "580.105.08"
    assert len(json.loads(host.shell("journalctl --list-boots -o json"))) == boots + 1
    assert host.host_tests("-k", "held or loaded_module").returncode == 0
    await_healthy(host)


def test_secrets_are_in_no_output_and_no_readable_file(host: LabHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every secret that there is. A crash is tests/programs/test_leaks.py's."""
    agents = {"AGENT_AWS_ACCESS_KEY_ID": "AKIA" + "PLANTED9" * 2, "AGENT_AWS_SECRET_ACCESS_KEY": "plantedAWS" * 4}
    for name, value in agents.items():
        monkeypatch.setenv(name, value)
    livekit = host.shell("cut -d = -f 2 /opt/voice/secrets/livekit.env").split()
    planted = [lab_token(), *livekit, *agents.values()]
    assert len(planted) == len(SECRETS)
    run = host.deploy("-vvv", "--diff", "--debug", "--data", "caddy_log_level=ERROR")
    assert run.status == 0, run.printed[-4000:]
    assert len(run.changed) == 3
    assert agents["AGENT_AWS_SECRET_ACCESS_KEY"] in host.shell("cat /opt/voice/secrets/bedrock.env")
    for place in (run.printed, host.shell("journalctl --no-pager -o cat"), host.shell("ps -eo args")):
        assert [word for word in planted if word in place] == []
    # The words to look for travel on stdin: sudo's log would have them from a command line.
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    searches = (
        f"{nobody} grep -rls --exclude-dir=proc --exclude-dir=sys -F -f - / || true",
        f"{nobody} grep -ls -F -f - /proc/[0-9]*/environ /proc/[0-9]*/cmdline || true",
        "grep -rls -F -f - /var/log /tmp /root /home || true",
    )
    assert [host.shell(search, stdin="\n".join(planted)) for search in searches] == ["", "", ""]
    # Kept without being given again; gone when told.
    for name in agents:
        monkeypatch.delenv(name)
    assert host.deploy("--data", "caddy_log_level=ERROR").changed == []
    assert host.deploy("--data", "caddy_log_level=ERROR", "--data", "agent_aws_keys=none").status == 0
    assert host.shell("cat /opt/voice/secrets/bedrock.env") == ""
