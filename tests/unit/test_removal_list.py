"""Teardown's list of what the deploys make is whole, and its scripts delete nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from voicestack.audit import files as doctors_files
from voicestack.audit.wanted import wanted
from voicestack.host.docker import DAEMON_JSON
from voicestack.host.ledger import LEDGER, noting
from voicestack.host.platform import Platform, repositories
from voicestack.host.volume import wanted_files
from voicestack.paths import HOME, STATE
from voicestack.remote import script_file
from voicestack.settings.model import Settings
from voicestack.teardown import facts, operations, plan
from voicestack.teardown.facts import Image, OnHost, parse
from voicestack.teardown.made import DIRECTORIES, MADE, VENDORS, VOLUMES, made, table

ROOT = Path(__file__).resolve().parents[2]
PLATFORMS = (
    Platform("ubuntu", "2404", "noble", "6.8.0-1029-aws", "aws"),
    Platform("debian", "13", "trixie", "6.12.0-9-cloud-amd64", "cloud-amd64"),
)


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda each: str(each.distribution))
def test_every_file_that_a_deploy_writes_is_on_the_list(settings: Settings, platform: Platform) -> None:
    files = wanted(settings, platform, "192.0.2.10")
    written = [*files.files, *(each.keyring for each in files.packages.repositories)]
    assert [path for path in written if made(path) is None] == []
    assert {each.name for each in repositories(settings, platform)} <= set(VENDORS)


def test_dockers_wait_for_the_weights_disk_goes_with_the_stack_and_the_mount_stays() -> None:
    """Without the wait Docker starts when the disk has gone to another host; the mount is that of the weights."""
    mount, wait = wanted_files("/models", "0" * 36)
    drop_in = made(wait)
    assert drop_in is not None
    assert drop_in.goes == "always"
    assert made(mount) is None


def test_what_the_audit_knows_as_ours_is_on_the_list() -> None:
    known = (*doctors_files.OURS, *doctors_files.REQUIRED_SECRETS)
    assert [path for path in known if made(path) is None] == []


def test_every_directory_of_the_stack_goes_when_it_is_empty(settings: Settings) -> None:
    files = wanted(settings, PLATFORMS[0], "192.0.2.10").files
    inside = [path for path in files if path.startswith(f"{HOME}/")]
    assert {str(Path(path).parent) for path in inside} <= set(DIRECTORIES)
    deepest_first = [len(Path(path).parts) for path in DIRECTORIES if path.startswith(HOME)]
    assert deepest_first == sorted(deepest_first, reverse=True)


def test_every_volume_and_network_of_compose_is_on_the_list(settings: Settings) -> None:
    compose = yaml.safe_load(wanted(settings, PLATFORMS[0], "192.0.2.10").files[f"{HOME}/compose.yml"].content)
    assert {f"{compose['name']}_{volume}" for volume in compose["volumes"]} == set(VOLUMES)
    assert "networks" not in compose


def test_the_names_of_built_images_are_known(settings: Settings) -> None:
    names = [settings.agent_build.name, settings.caddy_build.name]
    images = tuple(Image(f"sha256:{name}", name, "1GB") for name in names)
    assert plan.images(OnHost(docker="answers", images=images)) == tuple(names)
    mine = Image("sha256:mine", "voice-agent:mine", "1GB")
    assert plan.images(OnHost(docker="answers", images=(mine,))) == ()


def test_the_document_has_the_list() -> None:
    """If this fails: put what `.venv/bin/python -m voicestack.teardown.made` prints into the document."""
    assert table() in (ROOT / "docs" / "decisions" / "teardown.md").read_text()


def test_what_a_writer_left_beside_its_place_counts_as_well() -> None:
    beside = made(f"{HOME}/livekit/keys.yaml.new")
    assert beside is not None
    assert beside.goes == "secrets"
    assert made(f"{HOME}/caddy/Caddyfile.mine") is None
    assert made("/etc/apt/sources.list.d/voice-mine.sources") is None
    assert made(f"{HOME}/env/deep/er.env") is None


def run(name: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = script_file(operations.__file__, name, *arguments)
    return subprocess.run(["bash", "-c", command], input=stdin, capture_output=True, text=True, check=False)


def write(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


@pytest.mark.parametrize("path", ["", "/", "/opt/voice/", "/opt/voice/../x", "/opt/voice/a/..", "/etc/voice", "x"])
def test_nothing_outside_the_deploys_own_places_is_deleted(tmp_path: Path, path: str) -> None:
    done = run("files.sh", stdin=f"{path}\n")
    assert done.returncode == 1
    assert f"not a path of the deploys: {path}" in done.stderr


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "x/..", "/etc", "a/../../b"])
def test_no_name_leads_out_of_the_weights_directory(tmp_path: Path, name: str) -> None:
    write(tmp_path, "models/guard/x", "x/x", "b/x")
    done = run("weights.sh", f"{tmp_path}/models", stdin=f"{name}\n")
    assert done.returncode == 1
    assert len([path for path in tmp_path.rglob("x") if path.is_file()]) == 3
    assert run("weights.sh", "", stdin="guard\n").returncode == 1


def test_what_has_the_fetchers_names_and_is_not_its_own_stays(tmp_path: Path) -> None:
    write(tmp_path / "models", ".staging/guard-0123456789ab/half", ".staging/site/index.html", ".lock")
    (tmp_path / "models" / ".lock").write_text("somebody's")
    found = state(tmp_path, weights=tmp_path / "models")
    assert {each.name for each in found.weights if not each.ours} == {".staging", ".lock"}
    assert plan.models(found) == ()


def test_models_go_and_what_is_not_one_stays(tmp_path: Path) -> None:
    models = tmp_path / "models"
    half = ".staging/guard-0123456789ab/half"
    write(models, "guard/.provenance.json", "guard/x", ".replaced/old/.provenance.json", half, ".lock")
    (models / ".lock").write_text("")
    write(models, "exploration/x", ".replaced/exploration/x")
    (models / "linked").symlink_to(models / "guard")
    found = state(tmp_path, weights=models)
    assert set(plan.models(found)) == {"guard", ".replaced/old", ".staging", ".lock"}
    assert {each.name for each in found.weights if not each.ours} == {"exploration", ".replaced/exploration", "linked"}
    run("weights.sh", str(models), stdin="".join(f"{name}\n" for name in plan.models(found)))
    assert sorted(path.name for path in models.rglob("*")) == [".replaced", *["exploration"] * 2, "linked", "x", "x"]
    (models / "linked").unlink()
    run("weights.sh", str(models), stdin="exploration\n.replaced/exploration\n")
    assert not models.exists()


def state(root: Path, **directories: Path) -> OnHost:
    """What state.sh says of a home and a state below `root`; pyinfra strips lines."""
    words = (f"{root}/voice", f"{root}/voice/releases/", "", str(directories.get("weights", root / "none")))
    done = run("state.sh", *words, f"{root}/backups", f"{root}/made", f"{root}/apt", "")
    return parse([line.strip() for line in done.stdout.splitlines()])


def test_the_state_of_a_host_is_read_without_changing_it(tmp_path: Path) -> None:
    write(tmp_path, "voice/compose.yml", "voice/releases/1/compose.yml", "voice/my notes\t1.txt")
    (tmp_path / "voice" / "caddy").mkdir()
    (tmp_path / "backups" / "20261123T120000Z").mkdir(parents=True)
    (tmp_path / "made").write_text("installed no-such-package\nheld x\nimage caddy:2\nheld \n")
    kept = [
        tmp_path / "apt" / f"{name}.before-voice" for name in ("sources.list", "sources.list.d/a", "sources.list.d/b")
    ]
    write(tmp_path, *(str(path.relative_to(tmp_path)) for path in kept), "apt/sources.list", "apt/sources.list.d/c")
    (tmp_path / "apt/sources.list.d/b").write_text(kept[2].read_text())
    found = state(tmp_path)
    home = f"{tmp_path}/voice"
    assert found.paths == (f"{home}/caddy", f"{home}/compose.yml", f"{home}/my notes?1.txt", f"{home}/releases/")
    assert found.ledger == {"installed": ("no-such-package",), "held": ("x",), "image": ("caddy:2",)}
    assert found.aside == (f"{tmp_path}/backups/20261123T120000Z",)
    assert found.packages == ()
    assert (found.rivals_again, found.rivals) == ((str(kept[0]),), (str(kept[1]), str(kept[2])))
    assert state(tmp_path / "bare").paths == ()


def test_what_is_moved_aside_is_roots_alone_and_comes_back_with_one_command(tmp_path: Path) -> None:
    source, backups = tmp_path / "host", tmp_path / "backups"
    write(source, "opt/voice/secrets/livekit.env", "var/lib/voice/caddy/data/pki/root.key", "opt/voice/compose.yml")
    (source / "opt/voice/secrets").chmod(0o700)
    (source / "opt/voice/secrets/livekit.env").chmod(0o600)
    paths = [f"{source}/opt/voice/secrets/livekit.env", f"{source}/var/lib/voice/caddy/data/"]
    done = run("aside.sh", str(backups), stdin="".join(f"{path}\n" for path in paths))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in source.rglob("*") if path.is_file()] == ["compose.yml"]
    assert backups.stat().st_mode & 0o777 == 0o700
    (place,) = backups.iterdir()
    kept = place / str(source).lstrip("/") / "opt/voice/secrets"
    assert kept.stat().st_mode & 0o777 == 0o700
    assert (kept / "livekit.env").stat().st_mode & 0o777 == 0o600
    way_back = (place / "README").read_text().split("\n\n")[1].strip()
    assert way_back in done.stdout
    assert subprocess.run(["bash", "-c", way_back], check=False).returncode == 0
    assert (source / "opt/voice/secrets/livekit.env").read_text() == "opt/voice/secrets/livekit.env"
    assert (source / "var/lib/voice/caddy/data/pki/root.key").exists()


def test_the_ledger_notes_each_thing_once_and_of_packages_only_new_ones(tmp_path: Path) -> None:
    apt = """
Inst curl [8.1] (8.2 Debian:13/stable [amd64])
Inst docker-ce (5:26.1 Docker:1 [amd64])
Remv docker.io [20.10]
Purg runc [1.1]
Conf docker-ce (5:26.1 Docker:1 [amd64])
"""
    script = tmp_path / "script.sh"
    script.write_text('ledger=$1\nnote image caddy:2 "$2"\nnote held docker-ce\nnote_packages\n')
    for _ in range(2):
        command = noting(__file__.replace(Path(__file__).name, "x.py"), str(script), f"{tmp_path}/made", "b c")
        subprocess.run(["bash", "-c", command], input=apt, text=True, check=True)
    assert (tmp_path / "made").read_text().splitlines() == [
        *("image caddy:2", "image b c", "held docker-ce", "installed docker-ce", "removed docker.io", "removed runc"),
    ]


def test_the_ledger_lies_where_the_list_says() -> None:
    assert LEDGER in [each.path for each in MADE]
    assert f"ledger={LEDGER}\n" in (ROOT / "voicestack" / "host" / "ledger.sh").read_text()
    assert facts.ROOTS == (HOME, STATE)
    assert DAEMON_JSON not in [each.path for each in MADE]
