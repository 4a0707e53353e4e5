"""What runs on the host: reading while Caddy writes, and putting a backup's files in their places."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyinfra.connectors.util import CommandOutput, OutputLine

from tests.unit import archive
from voicestack import age as encryption
from voicestack.backup import places, restore, save
from voicestack.backup.bundle import members, unpack
from voicestack.remote import File, tree_on_stdin

SCRIPTS = Path(save.__file__).parent
READ = (places.LIVEKIT_ENV, places.AGENT_ENV, places.CADDYS_DATA)
CERTIFICATES = {path: content for path, content in archive.files().items() if places.is_caddys(path)}
PAIR = f"APIplantedplanted {archive.LIVEKIT_SECRET}\n\n"


def read(root: Path) -> list[str]:
    words = ["bash", "-euo", "pipefail", str(SCRIPTS / "read.sh"), str(root), *READ]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


def sent(root: Path, certificates: dict[str, bytes], staged: Path) -> tuple[str, list[str]]:
    """What restore.sh reads, and its command line."""
    tree = {
        "keys": File(PAIR.encode(), 0o600),
        "keys.sh": File(restore.KEYS_SCRIPT.read_bytes()),
        **{f"tree/{path}": File(content, 0o600) for path, content in certificates.items()},
    }
    words = ["bash", "-euo", "pipefail", str(SCRIPTS / "restore.sh"), str(staged), str(root), "opt/voice"]
    words.append(places.CADDY.lstrip("/"))
    return tree_on_stdin(tree), words


def place(root: Path, certificates: dict[str, bytes], staged: Path) -> str:
    tree, words = sent(root, certificates, staged)
    done = subprocess.run(words, input=tree, capture_output=True, text=True, check=True)
    assert not staged.exists()
    assert archive.LIVEKIT_SECRET not in done.stdout + done.stderr
    return done.stdout


def test_a_host_without_a_stack_is_read_as_nothing(tmp_path: Path) -> None:
    assert members(base64.b64decode("".join(read(tmp_path)))) == {}


def test_links_are_not_followed(tmp_path: Path) -> None:
    archive.write(tmp_path, archive.files())
    (tmp_path / f"{archive.SITE}-link.crt").symlink_to("/etc/hostname")
    assert members(base64.b64decode("".join(read(tmp_path)))) == archive.files()


class Host:
    """As much of pyinfra's host as reading takes: answers one after the other."""

    name = "debian"

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.said = list(answers), list[str]()

    def run_shell_command(self, *_: Any, **__: Any) -> tuple[bool, CommandOutput]:
        return True, CommandOutput([OutputLine("stdout", line) for line in self.answers.pop(0)])

    def log(self, line: str) -> None:
        self.said.append(line)


class State:
    """Its one flag that is asked."""

    print_input = False


def test_what_was_read_between_two_writes_of_caddy_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(save, "PAUSE_S", 0)
    archive.write(tmp_path / "whole", archive.files())
    archive.write(tmp_path / "torn", {**archive.files(), f"{archive.SITE}.key": archive.certificate()[1]})
    torn, whole = read(tmp_path / "torn"), read(tmp_path / "whole")
    host: Any = Host(torn, whole[: len(whole) // 2], whole)
    state: Any = State()
    command = save.Save(archive.DOMAIN, {}, (archive.RECIPIENT,), tmp_path / "backups")
    assert command.execute(state, host, {})[0]
    assert len([line for line in host.said if line.startswith("not whole, Caddy may be writing")]) == 2
    (file,) = (tmp_path / "backups").iterdir()
    assert unpack(encryption.decrypt(file.read_bytes(), [archive.IDENTITY])).files == archive.files()


def test_files_come_to_a_bare_host_as_caddy_and_docker_make_them(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "opt").mkdir(parents=True)
    place(root, CERTIFICATES, tmp_path / "staged")
    assert {path: (root / path).read_bytes() for path in CERTIFICATES} == CERTIFICATES
    modes = {str(path.relative_to(root)): path.stat().st_mode & 0o777 for path in root.rglob("*")}
    open_to_all = {"opt", "opt/voice", "opt/voice/livekit", "var", "var/lib", "var/lib/voice"}
    open_to_all |= {"var/lib/voice/caddy", "var/lib/voice/caddy/data"}
    assert {path for path, mode in modes.items() if mode & 0o077} == open_to_all
    assert not (root / "opt/voice/caddy").exists()


def test_a_second_time_changes_nothing_and_a_readable_key_is_closed(tmp_path: Path) -> None:
    root, staged = tmp_path / "root", tmp_path / "staged"
    root.mkdir()
    place(root, CERTIFICATES, staged)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    assert place(root, CERTIFICATES, staged) == ""
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == before
    key = root / f"{archive.SITE}.key"
    key.chmod(0o644)
    assert f"wrote {key}" in place(root, CERTIFICATES, staged)
    assert key.stat().st_mode & 0o777 == 0o600


def test_what_is_replaced_is_kept_and_caddy_has_something_newer_than_its_start(tmp_path: Path) -> None:
    root, staged = tmp_path / "root", tmp_path / "staged"
    other = dict.fromkeys(CERTIFICATES, b"other")
    archive.write(root, {**other, "var/lib/voice/caddy/data/caddy/instance.uuid": b"caddy's own"})
    (root / "opt/voice/caddy").mkdir(parents=True)
    said = place(root, CERTIFICATES, staged)
    (kept,) = (root / "var/lib/voice/caddy/replaced").iterdir()
    assert f"what was there before is kept in {kept}" in said
    assert {path.read_bytes() for path in kept.rglob("*") if path.is_file()} == {b"other"}
    assert len([path for path in kept.rglob("*") if path.is_file()]) == len(CERTIFICATES)
    assert kept.stat().st_mode & 0o777 == 0o700
    assert (root / "opt/voice/caddy/.restored").exists()
    assert (root / "var/lib/voice/caddy/data/caddy/instance.uuid").read_bytes() == b"caddy's own"
    assert (root / "opt/voice/livekit/keys.yaml").read_text() == f"APIplantedplanted: {archive.LIVEKIT_SECRET}\n"


def test_a_connection_that_breaks_places_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    whole = tree_on_stdin({"keys": File(PAIR.encode()), "keys.sh": File(restore.KEYS_SCRIPT.read_bytes())})
    words = ["bash", "-euo", "pipefail", str(SCRIPTS / "restore.sh"), str(tmp_path / "staged"), str(root), "opt/voice"]
    for length in (0, len(whole) // 2, len(whole) - 20):
        cut = subprocess.run([*words, "caddy"], input=whole[:length], capture_output=True, text=True, check=False)
        assert cut.returncode != 0
        assert list(root.iterdir()) == []
        assert not (tmp_path / "staged").exists()


def test_a_connection_that_is_gone_does_not_leave_a_certificate_beside_another_ones_key(tmp_path: Path) -> None:
    root, staged = tmp_path / "root", tmp_path / "staged"
    root.mkdir()
    place(root, dict.fromkeys(CERTIFICATES, b"other"), staged)
    reader, writer = os.pipe()
    os.close(reader)
    tree, words = sent(root, CERTIFICATES, staged)
    done = subprocess.run(words, input=tree, stdout=writer, text=True, check=False)
    os.close(writer)
    assert done.returncode != 0
    assert {path: (root / path).read_bytes() for path in CERTIFICATES} == CERTIFICATES


def test_nothing_is_in_use_before_all_of_it_is_on_the_disk(tmp_path: Path) -> None:
    root, staged = tmp_path / "root", tmp_path / "staged"
    root.mkdir()
    place(root, dict.fromkeys(CERTIFICATES, b"other"), staged)
    last = max(CERTIFICATES)
    (root / f"{last}.new").mkdir()
    (root / f"{last}.new" / Path(last).name).mkdir()
    tree, words = sent(root, CERTIFICATES, staged)
    done = subprocess.run(words, input=tree, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert {(root / path).read_bytes() for path in CERTIFICATES} == {b"other"}
