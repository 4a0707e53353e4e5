"""Teardown's scripts: they delete nothing else, also where something refuses or is cut off in the middle."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from voicestack.parts import Kind
from voicestack.remote import script_file
from voicestack.teardown import operations
from voicestack.teardown.plan import HostContainer, HostImage, Takedown, read

HARMLESS = (
    *("basename", "cat", "cut", "date", "dirname", "du", "find", "grep"),
    *("mktemp", "paste", "sed", "sort", "stat", "tr"),
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

    def has_real(self, *names: str) -> None:
        """The machine's own programs."""
        for name in names:
            self.has(name, f'exec {shutil.which(name)} "$@"')

    def run(self, name: str, *arguments: str, lines: Iterable[str] = ()) -> subprocess.CompletedProcess[str]:
        """One of the scripts, with these lines on stdin."""
        command = script_file(operations.__file__, name, *arguments).replace("bash ", "/bin/bash ", 1)
        environment = {"PATH": str(self._programs), "TMPDIR": str(self.root)}
        words, stdin = ["/bin/bash", "-c", command], "".join(f"{line}\n" for line in lines)
        return subprocess.run(words, input=stdin, capture_output=True, text=True, check=False, env=environment)

    def succeeds(self, name: str, *arguments: str, lines: Iterable[str] = ()) -> str:
        """What one of them says that goes well."""
        done = self.run(name, *arguments, lines=lines)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def calls(self) -> list[str]:
        """All since the last time."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        return lines

    def state(self, *roots: Path, weights: Path = Path("/nowhere"), known: dict[str, Kind] | None = None) -> Takedown:
        """What state.sh says of these roots; pyinfra strips lines."""
        trees = " ".join(path for path in known or {} if path.endswith("/"))
        words = (trees, f"{self.root}/etc/*", str(weights), f"{self.root}/backups", "caddy:2")
        said = self.succeeds("state.sh", " ".join(map(str, roots)), *words)
        return read([line.strip() for line in said.splitlines()], known or {})


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def write(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "x", "/opt/voice/", "/opt/voice/../x", "/opt/voice/a/.."),
        *("/etc/voice", "/models/guard", "/var/backups/voice"),
    ],
)
def test_nothing_outside_the_deploys_own_places_is_deleted(host: Host, path: str) -> None:
    host.has("rm")
    for weights in ("", "/elsewhere"):
        done = host.run("delete.sh", weights, lines=[path])
        assert done.returncode == 1
        assert f"not a path of the deploys: {path}" in done.stderr
    assert host.calls() == []


def test_each_of_the_deploys_own_places_is_deleted(host: Host) -> None:
    host.has("rm")
    host.has("systemctl")
    paths = (
        *("/opt/voice/compose.yml", "/opt/voice/releases/", "/var/lib/voice/made", "/run/voice-gate/"),
        *("/var/backups/voice/20261123T120000Z", "/etc/sysctl.d/60-voice.conf"),
        "/etc/systemd/system/docker.service.d/20-voice-volume.conf",
    )
    host.succeeds("delete.sh", "", lines=paths)
    deleted = (f"rm -rf --one-file-system -- {path.rstrip('/')}" for path in paths)
    assert host.calls() == [*deleted, "systemctl daemon-reload"]


@pytest.mark.parametrize("name", ["", "..", "../x", "x/..", "a/../../b"])
def test_no_name_leads_out_of_the_weights_directory(host: Host, name: str) -> None:
    host.has("rm")
    assert host.run("delete.sh", "/models", lines=[f"/models/{name}"]).returncode == 1
    assert host.calls() == []


def test_models_go_and_what_is_not_one_stays(host: Host) -> None:
    host.has_real("rm", "rmdir")
    host.has("systemctl")
    host.has("mountpoint", "false")
    models = host.root / "models"
    half = ".staging/guard-0123456789ab/half"
    write(models, "guard/.provenance.json", "guard/x", ".replaced/old/.provenance.json", half, ".lock")
    (models / ".lock").write_text("")
    write(models, "exploration/x", ".replaced/exploration/x", "lost+found/x")
    (models / "linked").symlink_to(models / "guard")
    found = host.state(weights=models)
    assert set(found.models) == {"guard", ".replaced/old", ".staging", ".lock"}
    assert set(found.beside) == {"exploration", ".replaced/exploration", "linked"}
    assert not found.mounted
    words = (str(models), f"{models}/.replaced", str(models))
    host.succeeds("delete.sh", *words, lines=[f"{models}/{name}" for name in found.models])
    assert files(models) == [".replaced/exploration/x", "exploration/x", "lost+found/x"]
    shutil.rmtree(models)
    (models / ".replaced").mkdir(parents=True)
    host.has("mountpoint")
    assert host.state(weights=models).mounted
    host.succeeds("delete.sh", *words)
    assert (models / ".replaced").exists()
    host.has("mountpoint", "false")
    host.succeeds("delete.sh", *words)
    assert not models.exists()


def test_what_has_the_fetchers_names_and_is_not_its_own_stays(host: Host) -> None:
    models = host.root / "models"
    write(models, ".staging/guard-0123456789ab/half", ".staging/site/index.html", ".lock")
    (models / ".lock").write_text("somebody's")
    host.has("mountpoint", "false")
    found = host.state(weights=models)
    assert set(found.beside) == {".staging", ".lock"}
    assert not found.models


def test_a_directory_goes_only_if_it_is_empty_whatever_the_list_says(host: Host) -> None:
    host.has_real("rmdir")
    host.has("systemctl")
    host.has("mountpoint", "false")
    home = host.root / "voice"
    write(home, "secrets/mine.txt")
    (home / "caddy").mkdir()
    directories = [f"{home}/caddy", f"{home}/secrets", str(home)]
    host.succeeds("delete.sh", "", *directories, lines=directories)
    assert sorted(path.name for path in home.rglob("*")) == ["mine.txt", "secrets"]


def test_the_state_of_a_host_is_read_without_changing_it(host: Host) -> None:
    home = host.root / "voice"
    write(host.root, "voice/compose.yml", "voice/releases/1/compose.yml", "voice/my notes\t1.txt", "etc/daemon.json")
    (home / "caddy").mkdir()
    (host.root / "backups" / "20261123T120000Z").mkdir(parents=True)
    (host.root / "backups" / "mine").mkdir()
    known: dict[str, Kind] = {f"{home}/releases/": "plain", f"{home}/compose.yml": "plain"}
    before = files(host.root)
    found = host.state(home, host.root / "bare", known=known)
    assert found.files == (f"{home}/compose.yml", f"{home}/releases/")
    assert found.machine == (f"{host.root}/etc/daemon.json", f"{home}/caddy", f"{home}/my notes?1.txt")
    assert found.aside == (f"{host.root}/backups/20261123T120000Z",)
    assert found.docker in ("absent", "gone")
    assert files(host.root) == before


@pytest.mark.parametrize(
    ("unit", "version", "said"), [("false", "", "absent"), ("", "false", "silent"), ("", "", "answers")]
)
def test_docker_is_absent_silent_or_answers(host: Host, unit: str, version: str, said: str) -> None:
    host.has("systemctl", unit)
    host.has("docker", f'[ "$1" != version ] || {version or "true"}')
    assert host.state().docker.replace("gone", "absent") == said


def test_each_column_of_docker_is_what_it_is_taken_for(host: Host) -> None:
    host.has("systemctl")
    values = {
        '{{index .Config.Labels "com.docker.compose.project"}}': "voice",
        '{{index .Config.Labels "com.docker.compose.project.working_dir"}}': "/opt/voice",
        '{{index .Config.Labels "com.docker.compose.service"}}': "caddy",
        "{{.Image}}": "sha256:c",
        "{{.Config.Image}}": "caddy:2",
        "{{.Id}}": "1111",
        "{{slice .Name 1}}": "voice-caddy-1",
        '{{.Label "com.docker.compose.project"}}': "voice",
        "{{.Name}}": "voice_default",
    }
    (host.root / "values").write_text("".join(f"s|{text}|{value}|g\n" for text, value in values.items()))
    said = f'sed -f {host.root}/values <<<"$text"'
    host.has(
        "docker",
        f"""
        text=
        case "$*" in "ps -aq"*) echo 1111 ;; "inspect -f"*" 1111") text=$3 ;; "network ls"*) text=$4 ;; esac
        [ -z "$text" ] || {said}""",
    )
    found = host.state()
    assert found.containers == (
        HostContainer("voice", "/opt/voice", "caddy", "sha256:c", "caddy:2", "1111", "voice-caddy-1"),
    )
    assert found.of_compose == ("network voice_default",)
    host.has("docker", 'case "$*" in "volume ls"*) sed "s/{{.Label.*}}\t.*/voice\tvoice_gpu-start/" <<<"$4" ;; esac')
    assert host.state().of_compose == ("volume voice_gpu-start",)


def test_images_are_asked_for_by_what_settings_files_and_releases_name(host: Host) -> None:
    """Docker 29 lists those without a name only where all are asked for."""
    host.has("systemctl")
    host.has(
        "docker",
        r"""
        case "$*" in
        "image ls"*" --all "*) printf 'image\tsha256:a\tcaddy:2\nimage\tsha256:b\t<none>:<none>\n' ;;
        "image ls"*) printf 'image\tsha256:a\tcaddy:2\n' ;;
        "image inspect"*" old:1") exit 1 ;;
        "image inspect"*) printf 'sha256:%s\n' "$5" ;;
        esac""",
    )
    home = host.root / "voice"
    write(home, "releases/1/release.json")
    (home / "compose.yml").write_text("services:\n  livekit:\n    image: livekit:1\n")
    (home / "releases/1/compose.yml").write_text("    image: old:1\n    image: older:1\n")
    (home / "releases/1/release.json").write_text('{"images": {"caddy": ["caddy:1", "sha256:' + "0" * 64 + '"]}}')
    lines = host.succeeds("state.sh", str(home), "", "", "/nowhere", "/nowhere", "caddy:2").splitlines()
    assert [line.split("\t")[-1] for line in lines if line.startswith("named\t")] == ["caddy:2", "livekit:1", "older:1"]
    assert f"released\tsha256:{'0' * 64}" in lines
    assert HostImage("sha256:b", "<none>:<none>").reference == "sha256:b"
    assert "image\tsha256:b\t<none>:<none>" in lines


def test_docker_starts_without_the_volume_that_has_gone_and_however_often_it_could_not(host: Host) -> None:
    wait = host.root / "20-voice-volume.conf"
    wait.write_text("AssertPathIsMountPoint=/models")
    host.has_real("rm")
    host.has("systemctl", f"case $1 in start) [ ! -e {wait} ] ;; reset-failed) false ;; esac")
    refused = host.run("docker.sh", "")
    assert refused.returncode == 1
    assert "Docker is installed and does not start; mend or remove it" in refused.stderr
    host.calls()
    said = host.succeeds("docker.sh", str(wait))
    assert "Docker no longer waits for the weights' volume, which is not here" in said
    assert [call for call in host.calls() if call.startswith("systemctl")] == [
        "systemctl daemon-reload",
        "systemctl reset-failed docker.socket docker.service",
        "systemctl start docker.service",
    ]


def test_services_stop_in_their_order_before_networks_and_one_in_use_stays(host: Host) -> None:
    host.has("docker", "case $1 in inspect) echo 75 ;; network) echo 'no'; echo 'in use by other' >&2; exit 1 ;; esac")
    going = ("container 1 voice-voice-agent-1", "container 2 x", "network voice_default", "volume voice_a")
    said = host.succeeds("services.sh", lines=going)
    assert "voice-voice-agent-1: stopping, which may take 75 s\n" in said
    assert "network voice_default stays: in use by other\n" in said
    assert [call for call in host.calls() if "inspect" not in call] == [
        *("docker stop 1", "docker rm --volumes 1", "docker stop 2", "docker rm --volumes 2"),
        *("docker network rm voice_default", "docker volume rm voice_a"),
    ]


def test_a_container_that_does_not_stop_ends_the_run_there(host: Host) -> None:
    host.has("docker", "[ $1 != stop ]")
    assert host.run("services.sh", lines=["container 1 a", "container 2 b"]).returncode != 0
    assert not [call for call in host.calls() if call.endswith(" 2") or " rm " in call]


def test_what_docker_made_for_a_volume_that_has_gone_goes_with_the_containers(host: Host) -> None:
    host.has_real("rmdir", "mkdir")
    models = host.root / "models"
    for name in ("guard", "voxtral"):
        (models / name).mkdir(parents=True)
    (models / "voxtral" / "weights").touch()
    # An engine without weights is started again and again, and its directory comes back until the container is gone.
    host.has("docker", f"case $1 in inspect) echo 10 ;; rm) mkdir -p {models}/guard ;; esac")
    words = [str(models / name) for name in ("guard", "voxtral", "absent")]
    host.succeeds("services.sh", *words, lines=["container 1 voice-vllm-guard-1"])
    assert [path.name for path in models.iterdir()] == ["voxtral"]


def test_an_image_that_stays_is_told_and_one_that_went_with_another_name_is_not(host: Host) -> None:
    host.has_real("rm")
    host.has("docker", 'case "$*" in *" rm "*) echo "conflict" >&2; exit 1 ;; "image inspect gone:1") exit 1 ;; esac')
    first, *others = host.succeeds("images.sh", "", lines=["caddy:2", "gone:1"]).splitlines()
    assert first == "caddy:2: stays: conflict"
    assert [line.partition(";")[0] for line in others] == ["the build cache stays, because others use this Docker"]
    assert not [call for call in host.calls() if "prune" in call]


def test_the_build_cache_goes_and_is_told_if_it_does_not(host: Host) -> None:
    """The next run would find no image and not ask again."""
    host.has_real("rm")
    # Buildx has a place for its notes that goes again.
    host.has("docker", 'case "$*" in "builder prune"*) [ -d "${BUILDX_CONFIG:-}" ] ;; esac')
    assert host.succeeds("images.sh", "cache", lines=["caddy:2"]) == ""
    assert "docker builder prune --all --force" in host.calls()
    assert not list(host.root.glob("tmp.*"))
    host.has("docker", 'case "$*" in "builder prune"*) exit 1 ;; esac')
    said = host.succeeds("images.sh", "cache", lines=["caddy:2"])
    assert "the build cache stays; docker builder prune --all removes it" in said


def way_back(place: Path) -> str:
    return (place / "README").read_text().split("\n\n")[1].strip()


def test_what_is_moved_aside_is_roots_alone_and_comes_back_with_one_command(host: Host) -> None:
    host.has_real("mkdir", "chmod", "cp", "rm")
    source, backups = host.root / "host", host.root / "backups"
    write(source, "opt/voice/secrets/livekit.env", "var/lib/voice/caddy/data/pki/root.key", "opt/voice/compose.yml")
    (source / "opt/voice/secrets").chmod(0o700)
    (source / "opt/voice").chmod(0o755)
    (source / "opt/voice/secrets/livekit.env").chmod(0o600)
    backups.mkdir(mode=0o755)
    paths = [f"{source}/opt/voice/secrets/livekit.env", f"{source}/var/lib/voice/caddy/data/"]
    said = host.succeeds("aside.sh", str(backups), lines=paths)
    assert files(source) == ["opt/voice/compose.yml"]
    assert backups.stat().st_mode & 0o777 == 0o700
    (place,) = backups.iterdir()
    assert place.stat().st_mode & 0o777 == 0o700
    kept = place / str(source).lstrip("/") / "opt/voice"
    modes = [path.stat().st_mode & 0o777 for path in (kept, kept / "secrets", kept / "secrets/livekit.env")]
    assert modes == [0o755, 0o700, 0o600]
    assert way_back(place) in said
    shutil.rmtree(source / "opt/voice/secrets")
    assert subprocess.run(["bash", "-c", way_back(place)], check=False).returncode == 0
    assert (source / "opt/voice").stat().st_mode & 0o777 == 0o755
    assert (source / "opt/voice/secrets").stat().st_mode & 0o777 == 0o700
    assert len(files(source)) == 3


@pytest.mark.parametrize("at", ["cp", "rm"])
def test_keys_that_a_run_left_in_two_directories_come_back_from_both(host: Host, at: str) -> None:
    """Nothing is deleted before all of it is copied."""
    source, backups = host.root / "host", host.root / "backups"
    write(source, "secrets/livekit.env", "env/agent.env")
    paths = [f"{source}/secrets/livekit.env", f"{source}/env/agent.env"]
    host.has_real("mkdir", "chmod", "cp", "rm")
    half = {"cp": f"/bin/cp -a --parents {paths[0]} ${{@: -1}}", "rm": f"/bin/rm {paths[0]}"}[at]
    host.has(at, f"{half}; exit 1")
    host.has("date", "echo 20261123T120000Z")
    assert host.run("aside.sh", str(backups), lines=paths).returncode == 1
    left = [path for path in paths if Path(path).exists()]
    assert left == (paths if at == "cp" else paths[1:])

    host.has_real(at)
    host.has("date", "echo 20261123T120100Z")
    said = host.succeeds("aside.sh", str(backups), lines=left)
    assert files(source) == []
    first, last = sorted(backups.iterdir())
    assert f"copy it first): {first}\n" in said
    for place in (first, last):
        assert subprocess.run(["bash", "-c", way_back(place)], check=False).returncode == 0
    assert files(source) == ["env/agent.env", "secrets/livekit.env"]
    assert not Path("/README").exists()
