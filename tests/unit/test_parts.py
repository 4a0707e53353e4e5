"""The one list of what a host is made of is whole, and has nothing of a stranger's."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.conftest import default_data
from tests.render.matrix import PLATFORMS
from voicestack.audit import files as audited
from voicestack.host import base, docker, nvidia
from voicestack.host.platform import Platform, driver_pinning_packages, repositories
from voicestack.host.volume import DROP_IN, wanted_files
from voicestack.parts import (
    BUILT,
    OF_COMPOSE,
    PROJECT,
    directories,
    kind,
    machine_files,
    patterns,
    stack_files,
    wanted_packages,
)
from voicestack.paths import HOME, STATE
from voicestack.settings.load import parse as parse_settings
from voicestack.settings.model import Settings
from voicestack.stack.operations import BUILD, PULLER, STAGED

EACH_PLATFORM = pytest.mark.parametrize("platform", PLATFORMS.values(), ids=PLATFORMS)


@EACH_PLATFORM
def test_every_file_that_a_deploy_writes_is_the_stacks_or_the_machines(settings: Settings, platform: Platform) -> None:
    """The machine's stay; of them the stack's alone are what the kernel and Docker read for it."""
    keyrings = (each.keyring for each in wanted_packages(settings, platform).repositories)
    written = {*audited.wanted_files(settings, platform, "192.0.2.10"), *keyrings}
    known = patterns(stack_files(settings))
    ours = {path for path in written if kind(path, known)}
    assert written - ours == {path for path in machine_files(settings) if path in written}
    assert {path for path in ours if not path.startswith(f"{HOME}/")} == {"/etc/sysctl.d/60-voice.conf"}


@EACH_PLATFORM
def test_the_sets_of_packages_of_each_step_are_in_the_whole(settings: Settings, platform: Platform) -> None:
    whole = wanted_packages(settings, platform)
    steps = [nvidia.wanted_packages(settings, platform), docker.wanted_packages(settings, platform)]
    assert whole.repositories == repositories(settings, platform)
    assert whole.install.keys() >= {*base.BASE_PACKAGES, *driver_pinning_packages(settings, platform)}
    for step in steps:
        assert whole.install.items() >= step.install.items()
        assert set(whole.absent) >= set(step.absent)
        assert set(whole.hold) >= set(step.hold)
        assert set(whole.hold_if_installed) >= set(step.hold_if_installed)
    assert whole.absent
    assert any(step.hold_if_installed for step in steps) == (platform.distribution == "ubuntu")


def test_what_a_guard_elsewhere_leaves_behind_is_the_stacks_too() -> None:
    elsewhere = parse_settings({**default_data(), "guard_placement": "http://192.0.2.9:8002"})
    assert f"{HOME}/env/vllm-guard.env" not in stack_files(elsewhere)
    assert kind(f"{HOME}/env/vllm-guard.env", patterns(stack_files(elsewhere))) == "secret"


def test_dockers_wait_for_the_weights_disk_goes_with_the_stack_and_the_mount_stays() -> None:
    """Without the wait Docker starts when the disk has gone to another host; the mount is that of the weights."""
    mount, wait = wanted_files("/models", "0" * 36)
    assert (wait, kind(wait), kind(mount)) == (DROP_IN, "plain", None)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        *((path, "secret") for path in audited.REQUIRED_SECRETS),
        (f"{HOME}/secrets/bedrock.env", "secret"),
        (f"{HOME}/secrets/livekit.env.20261123T120000Z", "secret"),
        (f"{HOME}/livekit/keys.yaml.20261123T120000Z", "secret"),
        (f"{HOME}/livekit/keys.yaml.new", "secret"),
        (f"{HOME}/env/caddy.env", "secret"),
        (f"{STATE}/caddy/data/", "secret"),
        (f"{STATE}/caddy/replaced/", "secret"),
        *((f"{place}/", "plain") for place in (STAGED, BUILD, PULLER)),
        *((f"/run/voice-{run}/", "plain") for run in ("gate", "stack-staging")),
        *((f"{HOME}/{tree}/", "plain") for tree in ("releases", "weights", "bin/__pycache__")),
        *((f"{HOME}/bin/on_host/start/{name}", "plain") for name in ("__pycache__/", "of_another_release.py")),
        *((f"{HOME}/{name}", "plain") for name in (".running.json", ".running.new", "caddy/.restored")),
        (f"{HOME}/caddy/Caddyfile.new", "plain"),
        *((f"{STATE}/{name}", "plain") for name in ("caddy/config/", "gpu-proof", "made")),
        (f"{HOME}/caddy/Caddyfile.mine", None),
        (f"{HOME}/livekit/mine.yaml", None),
        (f"{HOME}/secrets/mine.env", None),
        (f"{HOME}/env/deep/er.env", None),
        (f"{HOME}/notes.py", None),
        ("/etc/apt/sources.list.d/voice-mine.sources", None),
        ("/etc/docker/daemon.json", None),
    ],
)
def test_a_path_says_whose_it_is(settings: Settings, path: str, what: str | None) -> None:
    assert kind(path, patterns(stack_files(settings))) == what


def test_every_directory_of_the_stack_goes_when_it_is_empty_the_deepest_first(settings: Settings) -> None:
    files = stack_files(settings)
    found = directories(patterns(files))
    assert {str(Path(path).parent) for path in files} < set(found)
    assert {HOME, STATE, f"{HOME}/secrets", f"{STATE}/caddy"} < set(found)
    assert all(path.startswith((HOME, STATE)) for path in found)
    assert all(not Path(deeper).is_relative_to(path) for n, path in enumerate(found) for deeper in found[n + 1 :])


def test_every_volume_and_network_of_compose_is_on_the_list(settings: Settings) -> None:
    compose = yaml.safe_load(stack_files(settings)[f"{HOME}/compose.yml"].content)
    assert compose["name"] == PROJECT
    volumes = {f"volume {PROJECT}_{volume}" for volume in compose["volumes"]}
    assert set(OF_COMPOSE) == {f"network {PROJECT}_default", *volumes}
    assert "networks" not in compose


def test_the_names_of_built_images_are_known(settings: Settings) -> None:
    assert BUILT.fullmatch(settings.agent_build.name)
    assert BUILT.fullmatch(settings.caddy_build.name)
    assert not BUILT.fullmatch("voice-agent:mine")
