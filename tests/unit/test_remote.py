"""Files reach a host with their final modes from the first byte."""

from __future__ import annotations

import io
import shlex
import subprocess
import tarfile
from base64 import b64decode
from pathlib import Path

import pytest
from pyinfra.api.command import StringCommand

from voicestack import remote
from voicestack.remote import File, Rows, script, tree_on_stdin, unpack


def sh(command: str | StringCommand) -> subprocess.CompletedProcess[str]:
    """Run it as a host does, with what it is given on stdin."""
    text, stdin = command, ""
    if isinstance(command, StringCommand):
        text, stdin = command.get_raw_value(), str(command.connector_arguments["_stdin"])
    return subprocess.run(["sh", "-c", str(text)], input=stdin, capture_output=True, text=True, check=False)


def test_a_tree_travels_with_modes() -> None:
    sent = b64decode(tree_on_stdin({"env/a.env": File(b"x", 0o600)}))
    with tarfile.open(fileobj=io.BytesIO(sent)) as archive:
        (member,) = archive.getmembers()
    assert (member.name, member.mode, member.uid) == ("env/a.env", 0o600, 0)


def test_unpack_replaces_a_directory(tmp_path: Path) -> None:
    target = tmp_path / "staged"
    target.mkdir()
    (target / "old").touch()
    assert sh(unpack({"a/b": File(b"text", 0o640)}, str(target))).returncode == 0
    assert [path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()] == ["a/b"]
    assert (target / "a" / "b").stat().st_mode & 0o777 == 0o640
    assert target.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("directory", "written"), [("new/deep", True), ("file", False)])
def test_a_file_is_placed_with_its_mode_or_the_command_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str, written: bool
) -> None:
    monkeypatch.setattr(remote, "STAGING", str(tmp_path / "staging"))
    (tmp_path / "file").touch()
    path = tmp_path / directory / "a.conf"
    done = sh(remote.place({str(path): File(b"text", 0o640)}))
    assert (done.returncode == 0) == written, done.stderr
    if written:
        assert (path.read_text(), path.stat().st_mode & 0o777) == ("text", 0o640)
        assert list(path.parent.iterdir()) == [path]


def test_a_script_stops_at_its_first_failure_and_takes_arguments() -> None:
    result = sh(script('echo "$1"; false; echo no', "a b"))
    assert (result.returncode, result.stdout) == (1, "a b\n")


def test_finding_17_line_breaks_in_an_argument_stay_in_it() -> None:
    """A web shell's line wraps became real line breaks in pasted one-liners; here nobody pastes."""
    assert sh(script('printf "%s" "$1"', "one\ntwo 'three'")).stdout == "one\ntwo 'three'"


def test_what_a_script_prints_is_read_by_key() -> None:
    """pyinfra strips lines: what is empty at the end of one comes back."""
    rows = Rows(["os\tdebian\t13", "file\t/a\tdigest", "file\t/b", "active"])
    assert ("active" in rows, "stale" in rows) == (True, False)
    assert rows.one("os") == "debian"
    assert rows.one("stale") == ""
    assert rows.first("os", 3) == ["debian", "13", ""]
    assert rows.first("stale", 2) == ["", ""]
    assert rows.each("file") == ("/a", "/b")
    assert rows.pairs("file") == {"/a": "digest", "/b": ""}
    assert rows.all("active") == [[""]]
    assert rows.first("active", 0) == []


def test_what_root_has_for_his_own_shells_is_not_run(tmp_path: Path) -> None:
    """Debian's bash takes one that sshd starts for a terminal's: by these variables."""
    (tmp_path / ".bashrc").write_text("echo from .bashrc; exit 3\n")
    started_by_sshd = {"HOME": str(tmp_path), "SSH_CLIENT": "192.0.2.1 50000 22", "PATH": "/usr/bin:/bin"}
    command = shlex.split(script("echo $1", "x"))
    done = subprocess.run(command, env=started_by_sshd, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "x\n", "")
