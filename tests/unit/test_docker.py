"""daemon.json is merged, never clobbered; the proof of the GPU is made as the agent's container is."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.render.matrix import PLATFORMS
from voicestack.host import docker
from voicestack.host.docker import DockerState, daemon_config, merge, parse_config, wanted_packages
from voicestack.parts import stack_files
from voicestack.paths import HOME
from voicestack.settings.model import Settings

ROOT = Path(__file__).resolve().parents[2]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(st.text(max_size=3), max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
TABLE = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


@given(TABLE, TABLE)
def test_merging_twice_changes_nothing_more(existing: dict[str, object], wanted: dict[str, object]) -> None:
    once = merge(existing, wanted)
    assert merge(once, wanted) == once


@given(TABLE, TABLE)
def test_what_nobody_asked_about_stays(existing: dict[str, object], wanted: dict[str, object]) -> None:
    merged = merge(existing, wanted)
    assert all(merged[key] == value for key, value in existing.items() if key not in wanted)


def test_the_operators_own_settings_survive(settings: Settings) -> None:
    existing = {
        "dns": ["192.0.2.53"],
        "log-opts": {"labels": "team"},
        "exec-opts": ["native.cgroupdriver=systemd", "other=1"],
        "runtimes": {"runsc": {"path": "/usr/bin/runsc"}},
        "features": {"containerd-snapshotter": True, "cdi": True},
    }
    ours = daemon_config(settings)
    assert merge(existing, ours) == {
        **ours,
        "dns": ["192.0.2.53"],
        "log-opts": {"labels": "team", "max-size": "50m", "max-file": "5"},
        "exec-opts": ["other=1", "native.cgroupdriver=cgroupfs"],
        "runtimes": {"runsc": {"path": "/usr/bin/runsc"}, **ours["runtimes"]},
        # Docker >= 29.2 tries CDI first: without a word of ours the way to the GPU is one nobody chose.
        "features": {"containerd-snapshotter": True, "cdi": False},
    }
    assert ours["live-restore"] is True


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("ubuntu2204", "~ubuntu.22.04~jammy"),
        ("ubuntu2404", "~ubuntu.24.04~noble"),
        ("debian12", "~debian.12~bookworm"),
        ("debian13", "~debian.13~trixie"),
    ],
)
def test_all_five_packages_have_a_version_with_dockers_suffix(settings: Settings, name: str, suffix: str) -> None:
    wanted = wanted_packages(settings, PLATFORMS[name])
    assert wanted.install == {
        "docker-ce": f"5:28.5.2-1{suffix}",
        "docker-ce-cli": f"5:28.5.2-1{suffix}",
        "containerd.io": f"1.7.29-1{suffix}",
        "docker-buildx-plugin": f"0.30.1-1{suffix}",
        "docker-compose-plugin": f"2.40.3-1{suffix}",
    }
    assert wanted.hold == tuple(wanted.install)


def test_another_docker_runtime_or_toolkit_is_proven_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade from 29.1 to 29.2 took another way to the GPU, and the old proof still counted."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def proof_wanted(dockerd: str, containerd: str) -> str:
        """What docker_state.sh says is to be proven, on a host with these versions."""
        for name, version in (("dockerd", dockerd), ("dpkg-query", f"containerd.io {containerd}")):
            (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
            (tmp_path / name).chmod(0o755)
        words = ["bash", "-c", docker.Docker().command()]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return docker.Docker().process(done.stdout.splitlines()).proof_wanted

    first = proof_wanted("29.1.5", "2.2.1-1")
    assert proof_wanted("29.1.5", "2.2.1-1") == first
    assert proof_wanted("29.2.0", "2.2.1-1") != first
    assert proof_wanted("29.1.5", "2.2.2-1") != first


@pytest.mark.parametrize("text", ["{broken", "[]", '"text"'])
def test_a_file_that_cannot_be_read_is_refused_and_not_overwritten_and_an_empty_one_is_not(text: str) -> None:
    assert parse_config(None) == parse_config(" \n") == {}
    with pytest.raises(ValueError, match="mend or remove it"):
        parse_config(text)


def test_a_host_that_another_proof_was_made_on_is_proven_anew() -> None:
    """One that an older deploy proved by nvidia-smi has the right driver and daemon.json on record."""
    state = DockerState(proof_wanted="a" * 64)
    assert replace(state, proof=state.proof_to_record).is_proven
    assert not replace(state, proof=state.proof_wanted).is_proven
    assert not replace(state, proof=state.proof_to_record, proof_wanted="b" * 64).is_proven
    assert not DockerState().is_proven


def test_the_proof_runs_with_the_restrictions_and_the_card_of_the_agent(settings: Settings) -> None:
    """nvidia-smi as root in an open container says nothing about the agent's."""
    text = (ROOT / "voicestack" / "host" / "docker_gpu_proof.sh").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"^docker run (.*) >/dev/null$", text, re.MULTILINE)
    words = shlex.split(line)
    options = dict(itertools.pairwise(words))
    compose = stack_files(settings)[f"{HOME}/compose.yml"].content
    agent = yaml.safe_load(compose)["services"]["voice-agent"]
    assert agent["read_only"] is True
    assert agent["init"] is True
    assert {"--read-only", "--init"} <= set(words)
    assert [options["--tmpfs"]] == agent["tmpfs"]
    assert [options["--cap-drop"]] == agent["cap_drop"]
    assert [options["--security-opt"]] == agent["security_opt"]
    assert options["--network"] == agent["network_mode"]
    (device,) = agent["deploy"]["resources"]["reservations"]["devices"]
    assert options["--gpus"] == f"driver={device['driver']},device={','.join(device['device_ids'])}"
    assert device["capabilities"] == ["gpu"]
    dockerfile = (ROOT / "agent" / "Dockerfile").read_text()
    assert f"USER {options['--user']}" in dockerfile.splitlines()
    # With none named, both get the toolkit's default: utility and compute.
    assert "NVIDIA_" not in dockerfile + text
    assert not [key for key in agent if key in ("environment", "runtime", "privileged", "cap_add", "user")]
