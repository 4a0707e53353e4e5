"""Teardown's scripts where something refuses, or is cut off, in the middle. A script has the test's programs alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from voicestack.host.ledger import with_apt
from voicestack.teardown import operations
from voicestack.teardown.facts import Image, parse

HARMLESS = (
    "awk",
    "cat",
    "cmp",
    "cut",
    "date",
    "dirname",
    "find",
    "grep",
    "mktemp",
    "paste",
    "sed",
    "sort",
    "stat",
    "tail",
    "tee",
    "touch",
)
"""What a script may have as it is; whatever else it calls is refused unless a test says what that does."""


class Host:
    """Programs, each of which notes how it was called."""

    def __init__(self, root: Path) -> None:
        self.root, self._programs, self._calls = root, root / "programs", root / "calls"
        self._programs.mkdir()
        for name in HARMLESS:
            (self._programs / name).symlink_to(str(shutil.which(name)))

    def has(self, name: str, does: str = "") -> None:
        """A program; `does` is shell."""
        file = self._programs / name
        file.unlink(missing_ok=True)
        file.write_text(f'#!/bin/bash\necho "{name} $*" >>{self._calls}\n{does}\n')
        file.chmod(0o755)

    def run(self, name: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """One of the scripts."""
        words = [
            "/bin/bash",
            "-c",
            with_apt(operations.__file__, name, *arguments).replace("bash ", "/bin/bash ", 1),
        ]
        environment = {"PATH": str(self._programs), "TMPDIR": str(self.root)}
        return subprocess.run(words, input=stdin, capture_output=True, text=True, check=False, env=environment)

    def calls(self) -> list[str]:
        """All since the last time, without those of apt.sh that change nothing."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        ours = ("lslocks", "dpkg-query", f"rm -f {self.root}/tmp.")
        return [line for line in lines if not line.startswith(ours)]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_images_without_a_name_are_seen_in_a_docker_that_hides_them(host: Host) -> None:
    """Docker 29 lists them only where all are asked for."""
    host.has("systemctl")
    host.has("dpkg")
    host.has(
        "docker",
        r"""
        case "$*" in
        "image ls"*" --all "*) printf 'image\tsha256:a\tcaddy:2\t1GB\nimage\tsha256:b\t<none>:<none>\t2GB\n' ;;
        "image ls"*) printf 'image\tsha256:a\tcaddy:2\t1GB\n' ;;
        esac""",
    )
    nowhere = str(host.root / "nowhere")
    done = host.run("state.sh", nowhere, "", "", nowhere, nowhere, nowhere, nowhere, "")
    found = parse(done.stdout.splitlines())
    assert found.images == (Image("sha256:a", "caddy:2", "1GB"), Image("sha256:b", "<none>:<none>", "2GB"))


def test_docker_starts_without_the_volume_that_has_gone_and_however_often_it_could_not(host: Host) -> None:
    wait = host.root / "20-voice-volume.conf"
    wait.write_text("AssertPathIsMountPoint=/models")
    host.has("rm", 'exec /bin/rm "$@"')
    host.has("systemctl", f"case $1 in start) [ ! -e {wait} ] ;; reset-failed) false ;; esac")
    refused = host.run("docker.sh", "")
    assert refused.returncode == 1
    assert "Docker is installed and does not start; mend or remove it" in refused.stderr
    host.calls()
    assert host.run("docker.sh", str(wait)).returncode == 0
    assert [call for call in host.calls() if call.startswith("systemctl")] == [
        "systemctl daemon-reload",
        "systemctl reset-failed docker.socket docker.service",
        "systemctl start docker.service",
    ]


def test_keys_that_a_run_left_in_two_directories_each_have_their_way_back(host: Host) -> None:
    source, backups = host.root / "host", host.root / "backups"
    paths = [source / "secrets" / "livekit.env", source / "env" / "agent.env"]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.write_text(path.name)
    for name in ("mkdir", "chmod", "install"):
        host.has(name, f'exec /usr/bin/{name} "$@"')
    stdin = "".join(f"{path}\n" for path in paths)
    host.has("mv", 'case $1 in */agent.env) false ;; *) exec /bin/mv "$@" ;; esac')
    host.has("date", "echo 20261123T120000Z")
    assert host.run("aside.sh", str(backups), stdin=stdin).returncode == 1
    assert [path.exists() for path in paths] == [False, True]

    host.has("mv", 'exec /bin/mv "$@"')
    host.has("date", "echo 20261123T120100Z")
    second = host.run("aside.sh", str(backups), stdin=f"{paths[1]}\n")
    assert second.returncode == 0, second.stderr
    first, last = sorted(backups.iterdir())
    assert f"copy it first): {first}\n" in second.stdout
    for place in (first, last):
        way_back = (place / "README").read_text().split("\n\n")[1].strip()
        assert subprocess.run(["bash", "-c", way_back], check=False).returncode == 0
    assert [path.read_text() for path in paths] == ["livekit.env", "agent.env"]
    assert not Path("/README").exists()


@pytest.fixture
def purging(host: Host) -> Host:
    """A host on which packages.sh deletes nothing of the machine that runs the tests."""
    for name in ("systemctl", "rmdir", "rm", "mv", "update-initramfs", "apt-mark", "lslocks", "dpkg-query", "dpkg"):
        host.has(name)
    return host


FILES = "/etc/modprobe.d/voice-blacklist-nouveau.conf"


def test_what_a_failed_purge_leaves_undone_the_next_run_still_sees(purging: Host) -> None:
    """The kernel's image is made anew because of a file: that file goes right before it, and not before the purge."""
    words = ("", "nvidia-utils", "", "stays", "", FILES, "/etc/apt/sources.list.d/docker.list.before-voice")
    ledger = str(purging.root / "nowhere" / "made")
    purging.has("apt-get", "exit 100")
    assert purging.run("packages.sh", ledger, *words).returncode != 0
    assert {call.split()[0] for call in purging.calls()} <= {"apt-get", "dpkg"}
    purging.has("apt-get")
    done = purging.run("packages.sh", ledger, *words)
    assert done.returncode == 0, done.stderr
    seen = [call.split()[0] for call in purging.calls() if not call.startswith(("rmdir", "systemctl"))]
    assert seen == ["apt-get", "apt-get", "rm", "mv", "update-initramfs", "rm"]


@pytest.mark.parametrize("daemon", ["goes", "comes back"])
def test_docker_that_stays_reads_its_configuration_before_anything_can_fail(purging: Host, daemon: str) -> None:
    purging.has("apt-get", "exit 100")
    purging.run("packages.sh", str(purging.root / "made"), "", "gpg", "", daemon, "", "", "")
    assert [call for call in purging.calls() if call.startswith("systemctl")] == [
        "systemctl try-restart docker.service",
    ]


@pytest.mark.parametrize(("data", "is_stopped"), [("/var/lib/docker", False), ("/var/lib/containerd", True)])
def test_somebodys_containerd_goes_on(purging: Host, data: str, is_stopped: bool) -> None:
    purging.has("apt-get")
    done = purging.run("packages.sh", str(purging.root / "made"), "", "docker-ce", "", "stays", data, "", "")
    assert done.returncode == 0, done.stderr
    calls = purging.calls()
    assert calls[0] == "systemctl stop docker.socket docker.service"
    assert ("systemctl stop containerd.service" in calls) is is_stopped
    assert f"rm -rf --one-file-system -- {data}" in calls


def test_a_build_cache_that_stays_is_told_when_the_images_are_gone(host: Host) -> None:
    """The next run would find no image and not ask again."""
    for name in ("rm", "mv"):
        host.has(name, f'exec /bin/{name} "$@"')
    host.has(
        "docker", 'case "$*" in "builder prune"*) echo "no buildx" >&2; exit 1 ;; "image inspect"*) exit 1 ;; esac'
    )
    ledger = host.root / "made"
    ledger.write_text("installed gpg\nimage caddy:2\n")
    done = host.run("images.sh", str(ledger), "cache", "caddy:2")
    assert done.returncode == 0, done.stderr
    assert "the build cache stays (see above); docker builder prune --all removes it" in done.stdout
    assert ledger.read_text() == "installed gpg\n"


def test_what_docker_made_for_a_volume_that_has_gone_goes_with_the_containers(host: Host) -> None:
    for name in ("rmdir", "mkdir"):
        host.has(name, f'exec /bin/{name} "$@"')
    host.has("sleep")
    models = host.root / "models"
    for name in ("guard", "voxtral"):
        (models / name).mkdir(parents=True)
    (models / "voxtral" / "weights").touch()
    # An engine without weights is started again and again, and its directory comes back until the container is gone.
    host.has("docker", f"case $1 in inspect) echo 10 ;; rm) mkdir -p {models}/guard ;; esac")
    words = ("", "", *(str(models / name) for name in ("guard", "voxtral", "absent")))
    done = host.run("services.sh", *words, stdin="1 voice-vllm-guard-1\n")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in models.iterdir()] == ["voxtral"]
