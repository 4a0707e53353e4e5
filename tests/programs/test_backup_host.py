"""What runs on the host: reading while Caddy writes, and putting a backup's certificates in their places."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.connectors.util import CommandOutput, OutputLine

from tests.unit import backups
from voicestack import age
from voicestack.backup import operations
from voicestack.backup.contents import AGENT_ENV, CADDYS_DATA, LIVEKIT_ENV, unpack
from voicestack.remote import File, tree_on_stdin
from voicestack.settings.commands import Backup

SCRIPT = Path(operations.__file__).with_name("restore.sh")
CERTIFICATES = {
    path.removeprefix(f"{CADDYS_DATA}/"): content
    for path, content in backups.files().items()
    if path.startswith(CADDYS_DATA)
}


class Host:
    """As much of pyinfra's host as reading takes: this machine, below one root after the other."""

    name = "@eic/i-1234567890abcdef0"

    def __init__(self, *roots: Path, half: bool = False, fails: bool = False) -> None:
        self.roots, self.half, self.fails, self.said = list(roots), half, fails, list[str]()
        self.log_styled = lambda line, **_: self.log(line)

    def run_shell_command(self, command: Any, **_: Any) -> tuple[bool, CommandOutput]:
        words = shlex.split(command.get_raw_value().replace(" voice / ", f" voice {self.roots.pop(0)} "))
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()
        if self.half:
            lines, self.half = lines[: len(lines) // 2], False
        errors = [OutputLine("stderr", line) for line in done.stderr.splitlines()]
        output = CommandOutput([*(OutputLine("stdout", line) for line in lines), *errors])
        return done.returncode == 0 and not self.fails, output

    def log(self, line: str) -> None:
        self.said.append(line)


@pytest.fixture(autouse=True)
def _without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "PAUSE_S", 0)


def save(host: Any, directory: Path) -> bool:
    state: Any = SimpleNamespace(print_input=False)
    wanted = Backup(recipients=[backups.RECIPIENT], directory=str(directory))
    status, output = operations.Save(backups.DOMAIN, wanted).execute(state, host, {})
    assert not list(output)  # which pyinfra would print
    return status


def saved(directory: Path, tmp_path: Path) -> dict[str, bytes]:
    (file,) = directory.iterdir()
    assert file.name.startswith("eic-i-1234567890abcdef0-20")
    return unpack(age.decrypt(file.read_bytes(), backups.identity_file(tmp_path)))[1]


def test_a_backup_has_what_the_host_cannot_make_again_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "root"
    backups.write(root, backups.files())
    backups.write(
        root,
        {
            f"{CADDYS_DATA}/caddy/locks/x.lock": b"{}",
            f"{CADDYS_DATA}/caddy/acme/ca/challenge_tokens/x.json": b"{}",
            f"{LIVEKIT_ENV}.20261123T120000Z": b"an old pair",
        },
    )
    assert save(Host(root), tmp_path / "backups")
    assert saved(tmp_path / "backups", tmp_path) == backups.files()


def test_an_agent_without_a_pair_has_an_empty_file_which_is_none(tmp_path: Path) -> None:
    backups.write(tmp_path / "root", {**backups.files(), AGENT_ENV: b""})
    assert save(Host(tmp_path / "root"), tmp_path / "backups")
    assert saved(tmp_path / "backups", tmp_path).keys() == backups.files().keys() - {AGENT_ENV}


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Caddy's container can write in its data."""
    root = tmp_path / "root"
    backups.write(root, backups.files())
    (root / f"{backups.SITE}-link.json").symlink_to(root / f"{backups.SITE}.json")
    (root / f"{CADDYS_DATA}/caddy/certificates/there").symlink_to("local")
    assert save(Host(root), tmp_path / "backups")
    assert saved(tmp_path / "backups", tmp_path) == backups.files()


def test_what_was_read_between_two_writes_of_caddy_is_read_again(tmp_path: Path) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    backups.write(whole, backups.files())
    backups.write(torn, {**backups.files(), f"{backups.SITE}.key": backups.certificate()[1]})
    assert save(Host(whole, torn, torn, torn, whole, half=True), tmp_path / "backups")
    assert saved(tmp_path / "backups", tmp_path) == backups.files()


def test_what_stays_torn_and_a_host_that_cannot_be_read_make_no_backup(tmp_path: Path) -> None:
    torn = Host(*[tmp_path / "torn"] * operations.ATTEMPTS)
    backups.write(tmp_path / "torn", {**backups.files(), f"{backups.SITE}.key": backups.certificate()[1]})
    assert not save(torn, tmp_path / "backups")
    assert f"/{backups.SITE}.crt: not whole, or without its key" in torn.said
    way_out = "no backup was made; run deploys/voice.py, or if one certificate stays broken, remove its directory"
    assert torn.said[-1].startswith(way_out)
    gone = Host(*[tmp_path / "nowhere"] * operations.ATTEMPTS)
    assert not save(gone, tmp_path / "backups")
    assert "nowhere" in gone.said[1]
    backups.write(tmp_path / "whole", backups.files())
    # As tar ends when a file changed while it was read.
    assert not save(Host(*[tmp_path / "whole"] * operations.ATTEMPTS, fails=True), tmp_path / "backups")
    assert not (tmp_path / "backups").exists()


def sent(root: Path, certificates: dict[str, bytes]) -> tuple[str, list[str]]:
    """What restore.sh reads, and its command line."""
    tree = {path: File(content, 0o600) for path, content in certificates.items()}
    words = ["bash", "-euo", "pipefail", str(SCRIPT), str(root / CADDYS_DATA), str(root / "opt/voice/caddy")]
    return tree_on_stdin(tree), words


def place(root: Path, certificates: dict[str, bytes]) -> str:
    tree, words = sent(root, certificates)
    return subprocess.run(words, input=tree, capture_output=True, text=True, check=True).stdout


def data(root: Path, base: Path | None = None) -> dict[str, bytes]:
    base = base or root / CADDYS_DATA
    return {str(path.relative_to(base)): path.read_bytes() for path in base.rglob("*") if path.is_file()}


def replaced(root: Path) -> list[Path]:
    return sorted((root / CADDYS_DATA).with_name("replaced").iterdir())


def test_files_come_to_a_bare_host_as_caddy_and_docker_make_them(tmp_path: Path) -> None:
    place(tmp_path, CERTIFICATES)
    assert data(tmp_path) == CERTIFICATES
    modes = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    open_to_all = {"var", "var/lib", "var/lib/voice", "var/lib/voice/caddy", "var/lib/voice/caddy/data"}
    assert {path for path, mode in modes.items() if mode & 0o077} == open_to_all
    assert replaced(tmp_path) == []
    assert not (tmp_path / "opt").exists()


def test_what_is_replaced_is_kept_and_caddy_has_something_newer_than_its_start(tmp_path: Path) -> None:
    before = {**dict.fromkeys(CERTIFICATES, b"other"), "caddy/instance.uuid": b"caddy's own"}
    backups.write(tmp_path, {f"{CADDYS_DATA}/{path}": content for path, content in before.items()})
    (tmp_path / f"{backups.SITE}.key").chmod(0o644)
    (tmp_path / "opt/voice/caddy").mkdir(parents=True)
    said = place(tmp_path, CERTIFICATES)
    assert data(tmp_path) == {**CERTIFICATES, "caddy/instance.uuid": b"caddy's own"}
    assert (tmp_path / f"{backups.SITE}.key").stat().st_mode & 0o777 == 0o600
    (kept,) = replaced(tmp_path)
    assert f"what was there before is kept in {kept}" in said
    assert kept.stat().st_mode & 0o777 == 0o700
    assert data(tmp_path, kept / "data") == before
    assert (tmp_path / "opt/voice/caddy/.restored").exists()


@pytest.mark.parametrize(
    "planted",
    [
        "caddy",
        "caddy/certificates",
        str(Path(backups.SITE).parent.relative_to(CADDYS_DATA)),
        f"{backups.SITE.removeprefix(f'{CADDYS_DATA}/')}.crt",
    ],
)
def test_a_link_that_was_planted_in_caddys_data_leads_nowhere(tmp_path: Path, planted: str) -> None:
    """Whoever is in Caddy's container can write in its data, and root follows what is there."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    link = root / CADDYS_DATA / planted
    link.parent.mkdir(parents=True)
    outside.mkdir()
    (outside / "file").write_bytes(b"the host's")
    link.symlink_to(outside / "file" if planted.endswith(".crt") else outside)
    place(root, CERTIFICATES)
    assert data(root) == CERTIFICATES
    assert not any(path.is_symlink() for path in (root / CADDYS_DATA).rglob("*"))
    assert {path: path.read_bytes() for path in outside.rglob("*")} == {outside / "file": b"the host's"}
    (kept,) = replaced(root)
    assert (kept / "data" / planted).is_symlink()


def test_a_connection_that_breaks_places_nothing(tmp_path: Path) -> None:
    backups.write(tmp_path, {f"{CADDYS_DATA}/{path}": b"other" for path in CERTIFICATES})
    (tmp_path / "opt/voice/caddy").mkdir(parents=True)
    whole, words = sent(tmp_path, CERTIFICATES)
    for length in (0, len(whole) // 2, len(whole) - 20):
        cut = subprocess.run(words, input=whole[:length], capture_output=True, text=True, check=False)
        assert cut.returncode != 0
        assert set(data(tmp_path).values()) == {b"other"}
        assert replaced(tmp_path) == []
        assert not (tmp_path / "opt/voice/caddy/.restored").exists()


def test_a_connection_that_is_gone_does_not_leave_a_certificate_beside_another_ones_key(tmp_path: Path) -> None:
    backups.write(tmp_path, {f"{CADDYS_DATA}/{path}": b"other" for path in CERTIFICATES})
    reader, writer = os.pipe()
    os.close(reader)
    tree, words = sent(tmp_path, CERTIFICATES)
    done = subprocess.run(words, input=tree, stdout=writer, text=True, check=False)
    os.close(writer)
    assert done.returncode != 0
    assert data(tmp_path) == CERTIFICATES


def test_what_a_run_that_was_cut_off_left_is_not_taken_for_caddys(tmp_path: Path) -> None:
    left = (tmp_path / CADDYS_DATA).with_name("replaced") / ".new" / "caddy" / "left.json"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"left")
    place(tmp_path, CERTIFICATES)
    assert data(tmp_path) == CERTIFICATES
    assert replaced(tmp_path) == []
