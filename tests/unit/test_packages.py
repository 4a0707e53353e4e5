"""apt as desired state: the difference and nothing else."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.render.matrix import PLATFORMS
from voicestack.host import packages
from voicestack.host.apt import with_apt
from voicestack.host.nvidia import wanted_packages
from voicestack.host.packages import Apt, AptChange, AptState, PackageSet, difference, not_ours_alone
from voicestack.host.platform import driver_packages, repositories
from voicestack.remote import script_file
from voicestack.settings.model import Settings

UBUNTU, DEBIAN = PLATFORMS["ubuntu2404"], PLATFORMS["debian13"]


def test_only_what_differs_is_changed(settings: Settings) -> None:
    there, keyless, edited = repositories(settings, DEBIAN)
    wanted = PackageSet(
        install={"a": "", "b": "1.0", "c": "1.0", "d": ""},
        absent=("e", "f"),
        repositories=(there, keyless, edited),
        files={"/etc/x": "text", "/etc/y": "text"},
        hold=("a", "b"),
        hold_if_installed=("g", "h"),
    )
    texts = {"/etc/x": "text", there.sources_file: there.sources, keyless.sources_file: keyless.sources}
    state = AptState(
        files={
            **{path: hashlib.sha256(text.encode()).hexdigest() for path, text in texts.items()},
            **dict.fromkeys(("/etc/y", edited.sources_file, there.keyring, edited.keyring), "another"),
        },
        installed={"a": "3", "b": "0.9", "c": "1.0", "e": "1", "g": "1"},
        held=frozenset({"a"}),
        rivals=("/etc/apt/sources.list.d/docker.list",),
    )
    change = difference(wanted, state)
    assert change == AptChange(
        files=("/etc/y", edited.sources_file),
        repositories=(keyless, edited),
        remove=("e",),
        install=("b=1.0", "d"),
        hold=("b", "g"),
        rivals=("/etc/apt/sources.list.d/docker.list",),
    )
    assert difference(PackageSet(install={"a": "", "c": "1.0"}, files={"/etc/x": "text"}, hold=("a",)), state) == (
        AptChange(rivals=change.rivals)
    )


def test_removed_but_not_purged_packages_do_not_count_as_installed() -> None:
    state = Apt().process(["package\tdocker.io\t1.0\tconfig-files", "package\tcurl\t8\tinstalled", "hold\tcurl"])
    assert dict(state.installed) == {"curl": "8"}
    assert state.held == frozenset({"curl"})


def test_the_drivers_source_follows_the_distribution(settings: Settings) -> None:
    assert driver_packages(settings, UBUNTU)[0] == "linux-modules-nvidia-580-server-open-aws"
    assert "nvidia-kernel-open-dkms" in driver_packages(settings, DEBIAN)
    assert {each.name for each in repositories(settings, UBUNTU)} == {"nvidia-container-toolkit", "docker"}
    assert {each.name for each in repositories(settings, DEBIAN)} == {
        *("nvidia-container-toolkit", "nvidia-driver", "docker"),
    }


def test_repositories_address_the_release(settings: Settings) -> None:
    urls = {each.name: each.probe_url for each in repositories(settings, DEBIAN)}
    assert urls["nvidia-driver"].endswith("/cuda/repos/debian13/x86_64/InRelease")
    keys = {each.name: each.key_url for each in repositories(settings, DEBIAN)}
    assert keys["nvidia-driver"].endswith("/cuda/repos/debian13/x86_64/8793F200.pub")
    assert urls["docker"] == "https://download.docker.com/linux/debian/dists/trixie/InRelease"


def test_driver_and_kernel_are_kept_from_unattended_upgrades(settings: Settings) -> None:
    text = wanted_packages(settings, UBUNTU).files["/etc/apt/apt.conf.d/52voice-unattended-upgrades"]
    for pattern in ('"nvidia-"', '"libnvidia-"', '"linux-modules-nvidia-"', '"linux-image-"', '"containerd"'):
        assert pattern in text


def test_the_four_toolkit_packages_have_one_version(settings: Settings) -> None:
    wanted = wanted_packages(settings, DEBIAN).install
    versions = {version for name, version in wanted.items() if "container" in name}
    assert len([name for name in wanted if "container" in name]) == 4
    assert versions == {"1.19.1-1"}


def test_the_kernel_is_held_with_its_prebuilt_driver(settings: Settings) -> None:
    """A new kernel without its module boots without a GPU; on a host with another kernel package there is nothing."""
    wanted = wanted_packages(settings, UBUNTU)
    assert "linux-aws" in difference(wanted, AptState(installed={"linux-aws": "6.8"})).hold
    assert "linux-aws" not in difference(wanted, AptState()).hold
    assert "linux-aws" not in difference(wanted_packages(settings, DEBIAN), AptState(installed={"linux-aws": "6"})).hold


DOCKER = "https://download.docker.com/linux/debian"
TOOLKIT = "https://nvidia.github.io/libnvidia-container/stable/deb/amd64"
ARCHIVE = "deb https://deb.debian.org/debian trixie main\n"


def sources(root: Path, **files: str) -> AptState:
    """What packages_state.sh says of apt's sources; `_` in a name is a dot."""
    (root / "sources.list.d").mkdir(exist_ok=True)
    for name, text in files.items():
        place = root if name == "sources_list" else root / "sources.list.d"
        (place / name.replace("_", ".")).write_text(text)
    command = with_apt(packages.__file__, "packages_state.sh", "", "", f"{DOCKER} {TOOLKIT}", str(root))
    return Apt().process(
        subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout.splitlines()
    )


def test_a_file_with_entries_of_others_is_not_moved_but_named_with_its_line(tmp_path: Path) -> None:
    """Moved aside as a whole, it would take the distribution's archive with it."""
    entry = f"deb [arch=amd64] {DOCKER} trixie stable"
    both = f"Types: deb\nURIs: {DOCKER}\n\nTypes: deb\nURIs: https://deb.debian.org/debian\n"
    found = sources(tmp_path, sources_list=f"{ARCHIVE}{entry}\n", docker_list=f"# Docker\n{entry}\n", a_sources=both)
    assert found.rivals == (f"{tmp_path}/sources.list.d/docker.list",)
    assert found.shared == {
        f"{tmp_path}/sources.list": entry,
        f"{tmp_path}/sources.list.d/a.sources": f"Types: deb URIs: {DOCKER}",
    }
    said = not_ours_alone(found.shared)
    assert f"{tmp_path}/sources.list: {entry}" in said
    assert "comment the entry out, or move it to a file of its own" in said


def test_what_apt_does_not_read_is_in_nobodys_way(tmp_path: Path) -> None:
    off = f"Types: deb\nURIs: {DOCKER}\n# why\nEnabled: no\n"
    found = sources(
        tmp_path, sources_list=f"{ARCHIVE}# deb {DOCKER} trixie stable\n", docker_sources=off, notes_txt=DOCKER
    )
    assert (found.rivals, found.shared) == ((), {})


def test_a_file_of_both_our_repositories_alone_is_moved_and_our_own_are_not(tmp_path: Path) -> None:
    text = f"deb {DOCKER} trixie stable\n\ndeb {TOOLKIT} /\n"
    found = sources(tmp_path, gpu_list=text)
    (tmp_path / "sources.list.d" / "voice-docker.sources").write_text(f"URIs: {DOCKER}\n")
    assert sources(tmp_path) == found
    assert found.rivals == (f"{tmp_path}/sources.list.d/gpu.list",)


@pytest.mark.parametrize(("kept", "status"), [(None, 0), ("new", 0), ("old", 1)])
def test_a_file_that_was_moved_aside_before_is_not_lost(tmp_path: Path, kept: str | None, status: int) -> None:
    file, other = tmp_path / "docker.list", tmp_path / "toolkit.list"
    aside = tmp_path / "docker.list.before-voice"
    file.write_text("new")
    other.write_text("other")
    if kept is not None:
        aside.write_text(kept)
    command = script_file(packages.__file__, "packages_aside.sh", str(other), str(file))
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert aside.read_text() == (kept or "new")
    assert (file.exists(), other.exists()) == ((True, True) if status else (False, False))
