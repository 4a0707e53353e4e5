"""Teardown's plans: all of what the deploys made, nothing of what strangers made, and what a person is told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import default_data
from voicestack.host.docker import daemon_config, merge
from voicestack.host.ledger import LEDGER
from voicestack.host.volume import DROP_IN
from voicestack.paths import HOME, STATE
from voicestack.settings.load import parse as parse_settings
from voicestack.settings.model import Settings
from voicestack.teardown import plan, told
from voicestack.teardown.daemon import daemon_json
from voicestack.teardown.facts import Container, Image, OnHost, Weights
from voicestack.teardown.made import NETWORK, VOLUMES

WANTED = daemon_config(parse_settings(default_data()))
OURS = Container("1" * 64, "voice-caddy-1", "voice", HOME, "caddy", "sha256:caddy", "caddy:2")
FOREIGN = Container("2" * 64, "metrics", "", "", "", "sha256:metrics", "grafana/grafana:11")
NOTED = {"installed": ("docker-ce", "gpg"), "held": ("docker-ce",), "image": ("caddy:2",)}


def deployed(**changes: Any) -> OnHost:
    """A host with the stack, and nothing of anybody else."""
    state: dict[str, Any] = {
        "paths": (LEDGER, f"{HOME}/compose.yml", f"{HOME}/secrets/livekit.env", f"{STATE}/caddy/data/"),
        "ledger": NOTED,
        "directories": {"/var/lib/docker": False, "/var/lib/containerd": False},
        "docker": "answers",
        "containers": (OURS,),
        "images": (Image("sha256:caddy", "caddy:2", "90MB"),),
        "pulled": {"caddy:2": "sha256:caddy"},
        "networks": {"bridge": "", "host": "", "none": "", NETWORK: "voice"},
        "volumes": dict.fromkeys(VOLUMES, "voice"),
        "swarm": "inactive",
        "docker_root": "/var/lib/docker",
        "namespaces": ("moby",),
        "packages": ("docker-ce", "containerd.io", "gpg"),
        "holds": frozenset({"docker-ce", "somebodys-own"}),
        "purge": ("docker-ce", "containerd.io", "gpg"),
    }
    return OnHost(**{**state, **changes})


def everything(found: OnHost) -> list[object]:
    """All plans at once."""
    goes = ("always", "secrets", "packages")
    return [
        *(plan.paths(found, each) for each in goes),  # type: ignore[arg-type]
        *(plan.containers(found), plan.networks(found), plan.volumes(found), plan.images(found), plan.models(found)),
        plan.packages(found, WANTED),
    ]


def test_a_host_with_nothing_of_ours_has_nothing_in_any_plan() -> None:
    strangers = OnHost(
        paths=(f"{HOME}/notes.txt", f"{HOME}/empty"),
        docker="answers",
        containers=(FOREIGN, Container("3" * 64, "web", "voice", "/home/me/voice", "web", "sha256:w", "web:1")),
        images=(Image("sha256:metrics", "grafana/grafana:11", "1GB"), Image("sha256:x", "<none>:<none>", "1GB")),
        volumes={"mine": "", "voice_gpu-start": "another"},
        networks={"bridge": "", "mine": "", NETWORK: "another"},
        weights=(Weights("exploration", False, 5),),
        holds=frozenset({"docker-ce"}),
    )
    assert [each for each in everything(strangers) if each] == []
    assert len(plan.strange_paths(strangers)) == 2
    assert len(plan.strangers_in_docker(strangers)) == 8


def test_the_whole_stack_is_in_the_plans() -> None:
    found = deployed()
    assert plan.containers(found) == (OURS,)
    assert plan.images(found) == ("caddy:2",)
    assert plan.paths(found, "secrets") == (f"{HOME}/secrets/livekit.env", f"{STATE}/caddy/data/")
    going = plan.packages(found, WANTED)
    assert (going.purge, going.unhold) == (("docker-ce", "containerd.io", "gpg"), ("docker-ce",))
    assert going.data == ("/var/lib/docker", "/var/lib/containerd")


def test_the_agent_stops_first_and_livekit_last() -> None:
    names = ("caddy", "livekit", "vllm-guard", "voice-agent", "vllm-voxtral")
    found = [Container(name, name, "voice", HOME, name, "i", "i") for name in names]
    gate = Container("g", "voice-gate", "", "", "", "i", "i")
    ordered = plan.containers(OnHost(containers=(*found, gate)))
    assert [each.name for each in ordered] == [
        *("voice-gate", "voice-agent", "vllm-guard", "vllm-voxtral", "caddy", "livekit"),
    ]


def test_an_image_that_a_strangers_container_runs_stays() -> None:
    stranger = Container("2" * 64, "other", "", "", "", "sha256:caddy", "caddy:2")
    found = deployed(containers=(stranger,))
    assert plan.images(found) == ()
    assert plan.images_in_use(found) == ("caddy:2",)


@pytest.mark.parametrize("noted", ["docker.io/library/caddy:2", "caddy:2@sha256:" + "0" * 64, "docker.io/caddy:2"])
def test_an_image_that_was_pulled_by_its_long_name_is_ours(noted: str) -> None:
    found = deployed(pulled={noted: "sha256:caddy"})
    assert plan.images(found) == (noted,)
    assert plan.strangers_in_docker(found) == ()


def test_an_image_that_was_there_before_the_deploy_stays_and_is_told(settings: Settings) -> None:
    found = deployed(pulled={}, released=frozenset({"sha256:caddy"}))
    assert plan.images(found) == ()
    assert "stays: image caddy:2, which no deploy noted to have pulled; docker image rm removes it" in told.lines(
        settings, found
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"containers": (OURS, FOREIGN)}, "others use this Docker: container metrics"),
        ({"volumes": {"mine": ""}}, "volume mine"),
        ({"pulled": {}, "released": frozenset({"sha256:caddy"})}, "image caddy:2"),
        ({"networks": {"mine": ""}}, "network mine"),
        ({"namespaces": ("moby", "k8s.io")}, "containerd's namespace k8s.io"),
        ({"swarm": "active"}, "a swarm"),
        ({"docker": "absent", "shims": True}, "reboot the host"),
        ({"ledger": {"image": ("caddy:2",)}}, "no deploy noted here what it installed"),
        ({"apt_fault": "E: broken"}, "apt: E: broken"),
    ],
)
def test_packages_and_their_settings_go_together_or_not_at_all(
    settings: Settings, changes: dict[str, Any], said: str
) -> None:
    """A driver without its holds, or a Docker without its configuration, is worse than either."""
    found = deployed(**changes)
    assert said in plan.obstacle(found)
    assert not plan.packages(found, WANTED)
    to_go = parse_settings({**default_data(), "teardown_packages": True})
    assert any(said in line for line in told.lines(to_go, found))


def test_a_docker_that_does_not_answer_is_started_before_anything_is_decided(settings: Settings) -> None:
    silent = deployed(docker="silent", containers=(), images=(), networks={}, volumes={})
    assert plan.needs_docker(silent, with_packages=False)
    assert not plan.packages(silent, WANTED)
    assert "Docker does not answer: it is started" in "\n".join(told.lines(settings, silent))
    bare = OnHost(docker="silent", paths=(f"{HOME}/notes.txt",), packages=("docker-ce",))
    assert not plan.needs_docker(bare, with_packages=False)
    assert plan.needs_docker(bare, with_packages=True)


@pytest.mark.parametrize("directories", [{"/models": False}, {}])
def test_a_docker_that_waits_for_a_volume_elsewhere_is_started_without_it(directories: dict[str, bool]) -> None:
    waiting = deployed(docker="silent", paths=(DROP_IN,), directories=directories)
    assert plan.vain_wait(waiting, "/models") == DROP_IN
    assert plan.vain_wait(replace(waiting, directories={"/models": True}), "/models") == ""
    assert plan.vain_wait(replace(waiting, paths=()), "/models") == ""


def test_dockers_directories_stay_when_docker_was_here_before_or_they_are_elsewhere() -> None:
    assert plan.packages(deployed(purge=("gpg",)), WANTED).data == ()
    assert plan.packages(deployed(docker_root="/mnt/docker"), WANTED).data == ()
    assert plan.packages(deployed(docker="absent"), WANTED).data == ()
    mounted = {"/var/lib/docker": True, "/var/lib/containerd": False}
    assert plan.packages(deployed(directories=mounted), WANTED).data == ("/var/lib/containerd",)
    # Somebody's containerd, which Docker's engine was installed beside.
    assert plan.packages(deployed(purge=("docker-ce",)), WANTED).data == ("/var/lib/docker",)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(st.text(max_size=3), max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(["dns", "log-opts", "exec-opts", "live-restore", "runtimes"])


@given(st.none() | st.dictionaries(KEYS, JSON, max_size=4))
def test_daemon_json_is_as_it_was_before_the_deploy(existing: dict[str, Any] | None) -> None:
    before = None if existing is None else json.dumps(existing)
    now = merge(existing or {}, WANTED)
    found = OnHost(daemon_json=json.dumps(now), daemon_json_before=before)
    action, _ = daemon_json(found, WANTED)
    assert action == ("goes" if existing is None else "comes back" if now != existing else "forget")


@pytest.mark.parametrize("before", [None, '{"dns": ["192.0.2.53"]}'])
def test_an_edit_of_daemon_json_after_the_deploy_is_not_lost(before: str | None) -> None:
    edited = {**merge(json.loads(before or "{}"), WANTED), "debug": True}
    found = OnHost(daemon_json=json.dumps(edited), daemon_json_before=before)
    assert daemon_json(found, WANTED) == ("stays", daemon_json(found, WANTED)[1])
    assert "edited after the deploy" in daemon_json(found, WANTED)[1]
    broken = OnHost(daemon_json="{", daemon_json_before=before)
    assert daemon_json(broken, WANTED)[0] == "stays"
    somebodys = OnHost(daemon_json='{"debug": true, "exec-opts": ["native.cgroupdriver=cgroupfs"]}')
    assert daemon_json(somebodys, WANTED) == ("stays", "")


@pytest.mark.parametrize("before", [None, '{"dns": ["192.0.2.53"]}'])
def test_a_daemon_json_of_other_settings_stays_and_is_told(before: str | None) -> None:
    """The clone has been changed since the deploy: what is on the host cannot be told from an edit."""
    then = daemon_config(parse_settings({**default_data(), "docker_log_max_size": "7m"}))
    now = json.dumps(merge(json.loads(before or "{}"), then))
    found = deployed(daemon_json=now, daemon_json_before=before)
    said = told.lines(parse_settings({**default_data(), "teardown_packages": True}), found)
    assert any(line.startswith("stays: /etc/docker/daemon.json: a deploy with other settings") for line in said)


def test_a_person_is_told_what_stays_and_how_to_have_it_go(settings: Settings) -> None:
    weights = (Weights("voxtral-4b-tts", True, 8_000_000_000), Weights("exploration", False, 5))
    found = deployed(weights=weights, aside=("/var/backups/voice/20261123T120000Z",))
    said = "\n".join(told.lines(settings, found))
    assert "goes: containers voice-caddy-1; calls that are under way may go on for 60 s" in said
    assert "is moved to /var/backups/voice: key pairs, certificates and environments (/opt/voice/s" in said
    assert "stays: 8.0 GB of weights in /models (teardown_weights = True deletes them)" in said
    assert "stays, not ours: /models/exploration" in said
    assert "stays: 3 packages that the deploys installed" in said
    for_good = parse_settings(
        {**default_data(), "teardown_packages": True, "teardown_weights": True, "teardown_secrets": True}
    )
    said = "\n".join(told.lines(for_good, found))
    assert "goes for good: 8.0 GB of weights in /models: voxtral-4b-tts" in said
    assert "goes for good: /var/backups/voice/20261123T120000Z" in said
    assert "goes: 3 packages that the deploys installed: docker-ce containerd.io gpg" in said
    assert "deleting is not revoking" in said


def test_what_the_deploys_removed_and_what_others_need_is_told() -> None:
    ledger = {"installed": ("docker-ce", "python3"), "removed": ("docker.io", "docker-ce")}
    found = deployed(ledger=ledger, needed={"python3": "somebodys-tool"}, directories={"/models": True})
    found = replace(found, rivals_again=("/etc/apt/sources.list.d/docker.list.before-voice",))
    said = "\n".join(told.lines(parse_settings({**default_data(), "teardown_packages": True}), found))
    assert "was here before the deploys, which removed it: docker.io;" in said
    assert "stays, because somebodys-tool needs it: python3" in said
    assert "stays: the volume that is mounted on /models" in said
    assert "docker.list.before-voice; /etc/apt/sources.list.d/docker.list was made anew since" in said
