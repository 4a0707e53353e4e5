"""What start.py compares and brings up: what differs, what is recreated or reloaded, and what a log line means."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from on_host import docker
from on_host.start import compare, services, waiting
from on_host.start.causes import CAUSES, likely_cause
from on_host.start.waiting import NotHealthyError
from on_host.weights.store import PROVENANCE

ASKED = compare.Wanted(configuration="h", image="i", weights="w", reloaded="r")
STARTED = compare.Started(configuration="h", container="c", weights="w", reloaded="r")
OTHER_WEIGHTS, OLDER_FILE = STARTED._replace(weights="another"), STARTED._replace(reloaded="older")


def container(**changes: Any) -> dict[str, Any]:
    state = {"Status": "running", "Health": {"Status": "healthy"}, **changes.pop("State", {})}
    return {"Id": "c", "Image": "i", "State": state, **changes}


@pytest.mark.parametrize(
    ("present", "started", "expected"),
    [
        (container(), STARTED, ""),
        (None, STARTED, "has no container"),
        (container(Id="another"), STARTED, "its configuration changed"),
        (container(), STARTED._replace(configuration="old"), "its configuration changed"),
        (container(), None, "its configuration changed"),  # the record is lost
        (container(Image="old"), STARTED, "its image changed"),
        (container(State={"Status": "created", "StartedAt": "0001-01-01T00:00:00Z"}), STARTED, "was never started"),
        (container(State={"Status": "exited"}), STARTED, "is exited"),
        (container(State={"Health": {"Status": "unhealthy"}}), STARTED, "is unhealthy"),
        (container(State={"Health": {"Status": "starting"}}), STARTED, "is starting"),
        # That a file is to be reloaded is the last of the reasons.
        (container(), OLDER_FILE, compare.RELOADS),
        (container(Image="old"), OLDER_FILE, "its image changed"),
        (container(State={"Status": "exited"}), OLDER_FILE, "is exited"),
        # Only for other weights is the container recreated by force, so no other reason may hide them.
        (container(), OTHER_WEIGHTS, "its weights were replaced"),
        (container(), STARTED._replace(weights=""), "its weights were replaced"),
        (container(Id="another"), OTHER_WEIGHTS, "its weights were replaced"),
        (container(Image="old"), OTHER_WEIGHTS, "its weights were replaced"),
        (container(State={"Status": "restarting"}), OTHER_WEIGHTS, "its weights were replaced"),
        (container(State={"Health": {"Status": "starting"}}), OTHER_WEIGHTS, "its weights were replaced"),
        (None, OTHER_WEIGHTS, "has no container"),
    ],
)
def test_a_container_differs_for_a_reason(
    present: dict[str, Any] | None, started: compare.Started | None, expected: str
) -> None:
    assert compare.difference(present, started, ASKED) == expected


NETWORK = {"voice_default": {"NetworkID": "n", "EndpointID": "e"}}
UNCONNECTED = {"voice_default": {"NetworkID": "n", "EndpointID": ""}}


@pytest.mark.parametrize(
    ("status", "networks", "expected"),
    [
        ("running", NETWORK, ""),
        ("running", {**UNCONNECTED, "another": {"EndpointID": "e"}}, ""),
        ("running", {}, "has no network"),
        ("running", UNCONNECTED, "has no network"),
        ("exited", UNCONNECTED, "is exited"),
        ("exited", {}, "has no network"),
        ("restarting", UNCONNECTED, "is restarting"),
        ("created", UNCONNECTED, "was never started"),
    ],
)
def test_a_container_that_lost_its_network_differs(status: str, networks: dict[str, Any], expected: str) -> None:
    """Seen with Docker 29: the port was taken at the first start, and the second one came up without a network."""
    asked = ASKED._replace(networked=True)
    found = container(State={"Status": status}, NetworkSettings={"Networks": networks})
    assert compare.difference(found, STARTED, asked) == expected
    assert compare.difference(container(), STARTED, asked._replace(networked=False)) == ""


def test_what_never_started_or_has_no_network_is_told_before_all_else() -> None:
    """Seen: of a container that never started it was said that files changed after it started."""
    nothing: dict[str, Any] = {"NetworkSettings": {"Networks": {}}}
    never = container(Id="another", State={"Status": "created", "StartedAt": "0001-01-01T00:00:00Z"}, **nothing)
    asked = ASKED._replace(changed_at=1.0, networked=True)
    assert compare.difference(never, STARTED._replace(weights="another"), asked) == "was never started"
    adrift = container(Id="another", State={"StartedAt": "1999-01-01T00:00:00Z"}, **nothing)
    assert compare.difference(adrift, None, asked) == "has no network"


def test_which_services_have_a_network_is_the_definitions_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "image_id", lambda _: "i")
    definitions = {
        "guard": {"image": "i", "networks": {"default": None}},
        "caddy": {"image": "i", "network_mode": "host"},
    }
    asked = compare.wanted(definitions, {})
    assert {name: each.networked for name, each in asked.items()} == {"guard": True, "caddy": False}


def test_a_file_that_changed_after_the_start_is_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "HOME", tmp_path)
    (tmp_path / "livekit").mkdir()
    file = tmp_path / "livekit" / "livekit.yaml"
    file.touch()
    mounting = service(tmp_path / "livekit", Path("/models/x"))
    early, late = (container(State={"StartedAt": f"2026-11-23T14:00:0{second}Z"}) for second in ("0", "0.250000001"))
    for changed, expected in ((0.0, ""), (1_795_442_400.2, compare.FILES_CHANGED)):
        os.utime(file, (changed, changed))
        asked = ASKED._replace(changed_at=compare.changed_at(mounting, ()))
        assert compare.difference(early, STARTED, asked) == expected
        assert compare.difference(late, STARTED, asked) == ""
    assert compare.changed_at(mounting, [file]) == 0
    assert compare.changed_at({}, ()) == 0


def test_a_container_has_read_the_files_that_it_mounts_and_that_are_older_than_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "HOME", tmp_path)
    for path in ("livekit/livekit.yaml", "engine/health.py", "compose.yml"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    mounts = [{"Source": str(tmp_path / "livekit")}, {"Source": "/var/lib/docker/volumes/cache"}]
    for year, read in (("2001", set()), ("2999", {"livekit/livekit.yaml"})):
        each = container(State={"StartedAt": f"{year}-01-01T00:00:00Z"}, Mounts=mounts)
        monkeypatch.setattr(docker, "containers", lambda found=each: {"livekit": found})
        asked = ["livekit/livekit.yaml", "livekit/gone.yaml", "engine/health.py", "compose.yml"]
        assert compare.loaded(asked) == read


def test_a_file_that_was_edited_and_is_as_before_is_another_version(tmp_path: Path) -> None:
    file = tmp_path / "Caddyfile"
    file.write_text("as rendered")
    os.utime(file, (0, 0))
    before = compare.version([file])
    assert compare.version([file]) == before != ""
    os.utime(file, (1, 1))
    assert compare.version([file]) not in (before, "")
    assert compare.version([tmp_path / "absent"]) == ""


def test_only_what_compose_does_not_see_recreates_by_force() -> None:
    """A warm-up takes minutes: it is awaited, not begun again."""
    for reason in ("its weights were replaced", compare.FILES_CHANGED, "was never started", "has no network"):
        assert services.recreation(reason) == ["--force-recreate"]
    for reason in ("is not reachable at 127.0.0.1:8001 (refused)", "does not reach vllm-voxtral:8001 (no such name)"):
        assert services.recreation(reason) == ["--force-recreate"]
    for reason in ("has no container", "its configuration changed", "its image changed", "is exited", "is starting"):
        assert services.recreation(reason) == []


def test_a_container_that_the_files_do_not_have_is_left_over_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that moved to another host would keep its part of the card."""
    said: list[tuple[str, ...]] = []
    monkeypatch.setattr(docker, "containers", lambda: {"caddy": container(), "vllm-guard": container(Id="old")})
    monkeypatch.setattr(compare, "recorded", lambda: {"caddy": STARTED})
    monkeypatch.setattr(docker, "run", lambda *words: said.append(words))
    assert compare.differences({"caddy": ASKED}) == {"vllm-guard": "does not run on this host any more"}
    services.remove_left_over({"caddy": ASKED})
    assert said == [("stop", "old"), ("rm", "old")]


def service(*sources: Path) -> dict[str, Any]:
    """As `docker compose config` prints it, with a volume that is no directory of the host's."""
    binds = [{"type": "bind", "source": str(source), "target": "/x", "read_only": True} for source in sources]
    return {"image": "i", "volumes": [*binds, {"type": "volume", "source": "cache", "target": "/root/.cache"}]}


def model(directory: Path, fetched_at: str) -> Path:
    directory.mkdir(parents=True)
    (directory / PROVENANCE).write_text(json.dumps({"revision": "r", "fetched_at": fetched_at}))
    return directory


def replace(directory: Path, fetched_at: str) -> Path:
    """What a repair does: the same revision, in a new directory under the old name."""
    directory.rename(directory.with_suffix(f".{fetched_at}"))
    return model(directory, fetched_at)


def test_weights_that_a_service_mounts_are_told_by_when_they_came(tmp_path: Path) -> None:
    mounted, other = model(tmp_path / "guard", "10:00"), model(tmp_path / "voxtral", "10:00")
    before = compare.weights(service(mounted))
    replace(other, "11:00")
    model(mounted / "kept", "09:00")
    assert compare.weights(service(mounted)) == before != ""
    assert compare.weights(service(mounted, other)) != before
    assert compare.weights(service(replace(mounted, "11:00"))) != before
    assert compare.weights(service(tmp_path, tmp_path / "not there")) == compare.weights({"image": "i"}) == ""


def test_the_record_keeps_what_each_service_was_started_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "RECORD", tmp_path / ".running.json")
    assert compare.recorded() == {}
    compare.record("caddy", STARTED)
    compare.record("vllm-guard", STARTED._replace(weights="first"))
    compare.record("vllm-guard", STARTED._replace(weights="second"))
    assert compare.recorded() == {"caddy": STARTED, "vllm-guard": STARTED._replace(weights="second")}
    assert json.loads(compare.RECORD.read_text())["caddy"] == ["h", "c", "w", "r"]
    compare.RECORD.write_text("torn")
    assert compare.recorded() == {}
    # An older run's entry counts as none, which reads as a changed configuration.
    compare.RECORD.write_text(json.dumps({"caddy": ["h", "c", "w"], "livekit": ["h", "c", "w", "r"]}))
    assert compare.recorded() == {"livekit": STARTED}


class Machine:
    """Docker with one container of Caddy's: counts what is asked of it; `after_up` is its process after `up`."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, after_up: str = "first", answers: tuple[int, ...] = (0, 0)
    ) -> None:
        self.asked: list[str] = []
        self.process, self.after_up, self.answers = "first", after_up, list(answers)
        monkeypatch.setattr(docker, "containers", self.containers)
        monkeypatch.setattr(docker, "compose_up", self.compose_up)
        monkeypatch.setattr(subprocess, "run", self.run)

    def containers(self) -> dict[str, Any]:
        state = {"StartedAt": self.process}
        return {"caddy": container(State=state, Config={"Healthcheck": {"Test": ["CMD", "wget", "health"]}})}

    def compose_up(self, tell: Callable[[str], object], *words: str) -> tuple[int, list[str]]:
        self.asked.append(f"up {' '.join(words)}")
        self.process = self.after_up
        return 0, []

    def run(self, words: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert words[:3] == ["docker", "exec", "c"]
        assert options == {
            **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT},
            **{"text": True, "timeout": 60, "check": False},
        }
        self.asked.append(" ".join(words[3:]))
        return subprocess.CompletedProcess(words, self.answers.pop(0), stdout="no such directive\n")


RELOADS = {"files": [], "command": ["caddy", "reload"]}
UP = "up caddy"


def test_a_changed_file_is_reloaded_and_the_health_check_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    services.bring_up_one("caddy", compare.RELOADS, RELOADS)
    assert machine.asked == ["caddy reload", "wget health"]


def test_a_container_that_compose_leaves_as_it_is_reloads_and_a_new_process_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The record may be lost: that the container is the wanted one says nothing of the file it has read."""
    machine = Machine(monkeypatch)
    services.bring_up_one("caddy", "its configuration changed", RELOADS)
    assert machine.asked == [UP, "caddy reload", "wget health"]
    machine = Machine(monkeypatch, after_up="second")
    services.bring_up_one("caddy", "its configuration changed", RELOADS)
    assert machine.asked == [UP]


def test_a_container_that_never_started_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, after_up="second")
    services.bring_up_one("caddy", compare.NEVER_STARTED, None)
    assert machine.asked == ["up --force-recreate caddy"]


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("OCI runtime create failed: error running createContainer hook #0: exit status 1", "the container toolkit's"),
        ("Error response from daemon: mkdir /var/lib/docker/x: no space left on device", "a disk is full"),
        ("no such image", "not one of the known ones; read what it says above"),
    ],
)
def test_a_start_that_docker_refuses_names_the_cause(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, said: str, cause: str
) -> None:
    """Then no container has a log."""
    (tmp_path / "docker").write_text(f"#!/bin/sh\necho ' Container caddy  Starting'\necho '{said}' >&2\nexit 3\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(services, "process_of", lambda _: ("", ""))
    with pytest.raises(NotHealthyError, match=rf"^caddy: docker compose up failed \(exit 3\); likely cause: {cause}"):
        services.bring_up_one("caddy", "its configuration changed", None)
    assert capfd.readouterr().err == f" Container caddy  Starting\n{said}\n"


@pytest.mark.parametrize(
    ("answers", "said"), [((1,), "refuses its new file; caddy reload says"), ((0, 1), "is not healthy with its new")]
)
def test_a_reload_that_fails_says_what_the_service_said(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[int, ...], said: str
) -> None:
    Machine(monkeypatch, answers=answers)
    with pytest.raises(NotHealthyError, match=said) as caught:
        services.bring_up_one("caddy", compare.RELOADS, RELOADS)
    assert "  | no such directive" in str(caught.value)


def test_the_digest_sees_every_value_and_no_order() -> None:
    assert compare.digest({"a": 1, "b": {"c": "x"}}) == compare.digest({"b": {"c": "x"}, "a": 1})
    assert compare.digest({"environment": {"K": "1"}}) != compare.digest({"environment": {"K": "2"}})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ValueError: There is no module or parameter named 'acoustic_transformer' in MistralForCausalLM", "vllm-omni"),
        ("ValueError: No available memory for the cache blocks. Try increasing", "left to measure"),
        ("CUDA out of memory occurred when warming up sampler with 256 dummy requests", "guard_sequences"),
        ("Error in memory profiling. Initial free memory 3 GiB", "only the stack may use the card"),
        ("listen tcp 127.0.0.1:7880: bind: address already in use", "ss -lntup"),
        ("RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment", "nvidia-uvm"),
        ("cuInit(0) failed: CUDA_ERROR_UNKNOWN (999)", "nvidia-uvm"),
        ("runc create failed: error running createContainer hook #1: exit status 1", "container toolkit's hook"),
        ("error running createContainer hook: nvidia-container-cli: nvml error: driver not loaded", "it checks both"),
        ("could not apply CDI: unresolvable CDI devices nvidia.com/gpu=0", "nvidia-ctk cdi list"),
        ("Unexpected error from cudaGetDeviceCount(). Error 803: system has unsupported display driver", "do not fit"),
        ("runc create failed: seccomp: config provided but seccomp not supported", "runc does not fit"),
        ('runc create failed: namespace {"time" ""} does not exist', "runc does not fit"),
        ("write /var/lib/containerd/io.containerd.content.v1.content/ingest: no space left on device", "disk is full"),
        ("OSError: [Errno 28] No space left on device: '/root/.cache/vllm/torch_compile_cache'", "disk is full"),
        ("safetensors_rust.SafetensorError: Error while deserializing header: header too large", "weights_verify=deep"),
        ("OSError: It looks like the config file at '/models/x/config.json' is not a valid JSON file.", "damaged"),
        ("RuntimeError: Cannot find any model weights with `/models/llama-guard-3-1b`", "files of the model"),
        ("ValueError: Invalid repository ID or local directory specified: '/models/x'.", "files of the model"),
        ("TypeError: Either model_file or model_proto must be specified.", "files of the model"),
    ],
)
def test_known_errors_have_a_cause(line: str, expected: str) -> None:
    assert expected in (likely_cause(["something else", line, "a last line"]) or "")


def test_unknown_errors_have_none_and_the_last_telling_line_wins() -> None:
    assert likely_cause(["nothing known"]) is None
    assert likely_cause([]) is None
    both = ["bind: address already in use", "No available memory for the cache blocks"]
    assert "left to measure" in (likely_cause(both) or "")


def test_causes_are_plain_sentences() -> None:
    assert all(cause == cause.strip() and not cause.endswith(".") for _, cause in CAUSES)


def test_a_failure_shows_log_lines_without_what_identifies_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    address, token = ".".join(["3", "120", "7", "9"]), "hf_" + "x" * 34
    monkeypatch.setattr(docker, "log_lines", lambda *_: [f"listening on {address}", f"HF_TOKEN is {token}", "stopped"])
    health = {"Log": [{"Output": f"GET http://{address}/: refused\n"}]}
    message = waiting.failure("caddy", container(State={"Health": health}), "ended 3 times")
    assert address not in message
    assert token not in message
    assert "  | listening on [IP address]\n  | HF_TOKEN is [Hugging Face token]\n  | stopped\n" in message
    assert "last health check: GET http://[IP address]/: refused" in message
