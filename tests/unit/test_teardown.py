"""Teardown's plan: all of what the deploys made, nothing of what strangers made, and what a person is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import default_data
from tests.unit.answering import Host, commands
from voicestack.host.volume import DROP_IN
from voicestack.parts import OF_COMPOSE, patterns, stack_files
from voicestack.paths import HOME, STATE
from voicestack.settings.load import parse as parse_settings
from voicestack.settings.model import Settings
from voicestack.stack.render import SERVICES
from voicestack.teardown import operations
from voicestack.teardown.operations import examine, steps
from voicestack.teardown.plan import KEPT_ASIDE, Takedown, read
from voicestack.teardown.told import told

SETTINGS = parse_settings(default_data())
FOR_GOOD = parse_settings({**default_data(), "teardown_weights": True, "teardown_secrets": True})
KNOWN = patterns(stack_files(SETTINGS))

CADDY = f"container voice {HOME} caddy sha256:caddy caddy:2 1111 voice-caddy-1"
FOREIGN = "container - - - sha256:metrics grafana/grafana:11 2222 metrics"
DEPLOYED = (
    "docker answers",
    f"path {HOME}/compose.yml",
    f"path {HOME}/secrets/livekit.env",
    f"path {STATE}/caddy/data/",
    "path /etc/docker/daemon.json",
    CADDY,
    "image sha256:caddy caddy:2",
    "named sha256:caddy caddy:2",
    *(f"network - {name}" for name in ("bridge", "host", "none")),
    *(each.replace(" ", " voice ") for each in OF_COMPOSE),
)
"""A host with the stack, and nothing of anybody else."""


def plan(*lines: str) -> Takedown:
    """What becomes of the host of which state.sh says this; `-` stands for nothing, a space for TAB."""
    return read(["\t".join("" if word == "-" else word for word in line.split(" ")) for line in lines], KNOWN)


def going(found: Takedown, settings: Settings = FOR_GOOD) -> list[str]:
    """All that would be taken away."""
    return [line for step in steps(settings, found).values() for line in step.going]


def without(word: str) -> list[str]:
    """DEPLOYED without the lines of one kind."""
    return [line for line in DEPLOYED if not line.startswith(f"{word} ")]


def test_a_host_with_nothing_of_ours_loses_nothing_and_all_that_there_is_is_told() -> None:
    strangers = plan(
        "docker answers",
        f"path {HOME}/notes.txt",
        f"path {HOME}/empty",
        FOREIGN,
        "container voice /home/me/voice web sha256:w web:1 3333 web",
        "image sha256:metrics grafana/grafana:11",
        "image sha256:x <none>:<none>",
        "image sha256:m voice-agent:mine",
        "image sha256:n voice-agent:0123456789abcdef-mine",
        "volume - mine",
        "volume another voice_gpu-start",
        "volume voice voice_data",
        "network - mine",
        "network another voice_default",
        "weights 5 stranger exploration",
    )
    assert going(strangers) == []
    said = told(FOR_GOOD, strangers)
    assert len([line for line in said if line.startswith("stays, not ours: ")]) == 14
    assert not [line for line in said if line.startswith("goes")]


def test_the_whole_stack_goes_each_thing_in_its_step() -> None:
    found = plan(*DEPLOYED, f"aside {KEPT_ASIDE}/20261123T120000Z", "weights 8 ours guard", f"path {HOME}/caddy")
    keys = [f"{HOME}/secrets/livekit.env", f"{STATE}/caddy/data/"]
    taken = {name: (step.script, list(step.going)) for name, step in steps(SETTINGS, found).items()}
    assert list(taken.values()) == [
        ("docker.sh", []),
        ("services.sh", ["container 1111 voice-caddy-1", *OF_COMPOSE]),
        ("aside.sh", keys),
        ("images.sh", ["caddy:2"]),
        ("delete.sh", [f"{HOME}/compose.yml", f"{HOME}/caddy"]),
    ]
    for_good = [(step.script, list(step.going)) for step in steps(FOR_GOOD, found).values()]
    assert for_good[2] == ("delete.sh", [*keys, f"{KEPT_ASIDE}/20261123T120000Z"])
    assert for_good[5] == ("delete.sh", ["/models/guard"])
    assert found.strangers == ()
    assert found.machine == ("/etc/docker/daemon.json",)


def test_the_agent_stops_first_and_livekit_last() -> None:
    lines = [f"container voice {HOME} {name} i i {name} {name}" for name in sorted(SERVICES)]
    found = plan(*lines, "container - - - i i g voice-gate")
    assert [each.name for each in found.containers] == [
        *("voice-gate", "voice-agent", "vllm-guard", "vllm-voxtral", "caddy", "livekit"),
    ]


@pytest.mark.parametrize("place", ["/home/me/voice", "-"])
def test_a_compose_project_of_the_same_name_elsewhere_is_a_strangers(place: str) -> None:
    found = plan(*without("container"), CADDY.replace(HOME, place, 1))
    assert found.containers == ()
    assert "container voice-caddy-1 (caddy:2)" in found.strangers


def test_an_image_that_a_strangers_container_runs_stays() -> None:
    found = plan(*without("container"), FOREIGN.replace("metrics grafana", "caddy grafana"))
    assert found.images == ()
    assert "image caddy:2, which a container of others runs" in found.strangers


@pytest.mark.parametrize("name", ["docker.io/library/caddy:2", "caddy:2@sha256:" + "0" * 64, "docker.io/caddy:2"])
def test_an_image_that_the_files_name_by_its_long_name_goes(name: str) -> None:
    found = plan(*without("named"), f"named sha256:caddy {name}")
    assert found.images == ("caddy:2",)
    assert found.strangers == ()


def test_an_image_of_the_same_name_and_another_content_or_of_another_name_is_a_strangers() -> None:
    found = plan(*without("named"), "named sha256:other caddy:2", "image sha256:caddy mine:1")
    assert found.images == ()
    assert found.strangers == tuple(f"image {name}, which no file of the stack names" for name in ("caddy:2", "mine:1"))


@pytest.mark.parametrize("line", ["released sha256:old", "named sha256:old caddy:2@sha256:1"])
def test_an_image_without_a_name_goes_if_a_release_or_a_file_knows_it(line: str) -> None:
    nameless = ("image sha256:old caddy:<none>", "image sha256:x <none>:<none>")
    found = plan(*DEPLOYED, *nameless, line)
    assert found.images == ("caddy:2", "sha256:old")
    assert found.strangers == ("image sha256:x, which no file of the stack names",)


def test_built_images_go_by_their_names() -> None:
    built = SETTINGS.agent_build.name
    assert plan("docker answers", f"image sha256:1 {built}").images == (built,)


def test_the_build_cache_goes_unless_others_use_this_docker() -> None:
    images = "Remove the images that were pulled and built"
    assert steps(SETTINGS, plan(*DEPLOYED, f"path {HOME}/notes.txt"))[images].arguments == ["cache"]
    assert steps(SETTINGS, plan(*DEPLOYED, FOREIGN))[images].arguments == [""]


def test_a_docker_that_does_not_answer_is_started_only_if_it_may_have_something_of_ours() -> None:
    silent = plan("docker silent", f"path {HOME}/compose.yml")
    assert next(iter(steps(SETTINGS, silent).values())).going
    assert "Docker does not answer: it is started, and asked then what of its own goes" in told(SETTINGS, silent)
    assert plan("docker silent", f"path {HOME}/env/caddy.env").needs_docker
    assert not plan("docker silent", f"path {HOME}/notes.txt", "path /etc/docker/daemon.json").needs_docker
    assert not plan("docker answers", f"path {HOME}/compose.yml").needs_docker


def test_a_docker_that_waits_for_a_volume_elsewhere_is_started_without_it() -> None:
    assert plan("docker silent", f"path {DROP_IN}").wait == DROP_IN
    assert plan("docker silent", f"path {DROP_IN}", "mounted yes").wait == ""
    assert plan("docker silent").wait == ""


def test_a_person_is_told_what_goes_what_stays_and_how_to_have_it_go() -> None:
    more = ("weights 8000000000 ours voxtral", "weights 5 stranger exploration", "mounted yes")
    found = plan(*DEPLOYED, *more, f"aside {KEPT_ASIDE}/20261123T120000Z", "path /etc/sysctl.d/60-voice.conf")
    keys = f"key pairs, certificates and environments ({HOME}/secrets/livekit.env, {STATE}/caddy/data/)"
    in_any_case = [
        "goes: containers voice-caddy-1; calls that are under way may go on for 60 s",
        f"goes: {', '.join(OF_COMPOSE)}",
        "goes: images caddy:2",
        f"goes: files in /etc/sysctl.d/60-voice.conf, {HOME}/compose.yml",
        "the kernel keeps its parameters until the next reboot",
        "stays, not ours: /models/exploration (5 B)",
        "stays: the volume that is mounted on /models, and the unit that mounts it",
        "stays: driver, toolkit and Docker with packages, holds and files (/etc/docker/daemon.json)",
        "stays: the record of runs, /var/log/voice/runs.jsonl",
    ]
    assert set(told(SETTINGS, found)) - set(in_any_case) == {
        f"is moved to {KEPT_ASIDE}: {keys}",
        f"stays: {KEPT_ASIDE}/20261123T120000Z (teardown_secrets = True deletes them)",
        "stays: 8.0 GB of weights in /models (teardown_weights = True deletes them)",
    }
    assert set(told(FOR_GOOD, found)) - set(in_any_case) == {
        f"goes for good: {keys}",
        f"goes for good: {KEPT_ASIDE}/20261123T120000Z",
        "goes for good: 8.0 GB of weights in /models: voxtral",
        "deleting is not revoking: the agent's key pair for AWS works on until it is deleted in IAM",
    }
    assert [line for line in told(SETTINGS, found) if line in in_any_case] == in_any_case


@pytest.mark.parametrize("line", [f"path {HOME}/secrets/bedrock.env", f"aside {KEPT_ASIDE}/20261123T120000Z"])
def test_deleting_keys_here_or_those_kept_aside_is_said_not_to_be_revoking(line: str) -> None:
    assert any("not revoking" in said for said in told(FOR_GOOD, plan("docker absent", line)))
    assert not any("not revoking" in said for said in told(FOR_GOOD, plan("docker absent")))
    assert not any("not revoking" in said for said in told(SETTINGS, plan("docker absent", line)))


def test_a_bare_host_has_nothing_to_tell_but_the_record() -> None:
    record = ["stays: the record of runs, /var/log/voice/runs.jsonl"]
    assert told(FOR_GOOD, plan("docker absent")) == record
    assert told(FOR_GOOD, plan("docker gone"))[0].startswith("stays: /var/lib/docker; Docker is gone")
    assert told(FOR_GOOD, plan()) == ["the host did not answer (see the output above)"]


def host(*lines: str) -> Any:
    """A host of which state.sh says this."""
    return Host(["\t".join(line.split(" ")) for line in lines])


def test_the_host_is_asked_for_all_that_there_may_be() -> None:
    target = host("docker absent", f"path {HOME}/compose.yml")
    assert examine(target, SETTINGS).files == (f"{HOME}/compose.yml",)
    (asked,) = target.asked
    trees, others = asked["trees"].split(" "), asked["others"].split(" ")
    assert set(trees) == {path for path in KNOWN if path.endswith("/") and path.startswith(("/opt", "/var/lib"))}
    assert set(others) & KNOWN.keys() == KNOWN.keys() - {path for path in KNOWN if path.startswith((HOME, STATE))}
    assert {"/etc/docker/daemon.json", "/etc/apt/keyrings/voice-docker.gpg"} < set(others)
    assert asked["weights"] == "/models"
    assert {SETTINGS.image.livekit, SETTINGS.image.agent_base} < set(asked["images"].split(" "))


def test_nothing_goes_without_the_sites_name(monkeypatch: pytest.MonkeyPatch) -> None:
    domain = "a.example.org"
    assert commands(monkeypatch, operations, "confirm", host(), said=domain, domain=domain) == []
    for said in ("", "b.example.org"):
        (refused,) = commands(monkeypatch, operations, "confirm", host(), said=said, domain=domain)
        assert "nothing was changed" in refused.get_raw_value()
        assert "--data teardown_confirm=a.example.org" in refused.get_raw_value()


def test_a_step_is_done_as_far_as_the_host_still_has_what_it_takes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    step = {"step": "Remove the stack's files", "settings": SETTINGS}
    (command,) = commands(monkeypatch, operations, "take", host(f"path {HOME}/compose.yml"), **step)
    assert command.connector_arguments["_stdin"] == f"{HOME}/compose.yml\n"
    assert "Deletes what is named on stdin" in command.get_raw_value()
    assert commands(monkeypatch, operations, "take", host("docker answers"), **step) == []
