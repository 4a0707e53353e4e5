"""Backups on the controller: how they are kept, and what is told of settings that cannot work."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path

import pyrage
import pytest

from tests.unit import archive
from tests.unit.archive import DOMAIN, RECIPIENT
from voicestack import age as encryption
from voicestack.backup import shelf
from voicestack.backup.bundle import pack
from voicestack.backup.restore import IDENTITY, RestoreError, check, opened, source
from voicestack.backup.save import BackupError
from voicestack.backup.save import check as check_backup
from voicestack.settings.load import SettingsError, parse
from voicestack.settings.model import Settings


def test_a_backup_is_complete_or_not_there_and_replaces_none(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "backups"
    made = datetime(2026, 11, 23, 12, 0, 1, tzinfo=timezone.utc)
    name = shelf.file_name("@eic/i-1234567890abcdef0", made)
    assert name == "eic-i-1234567890abcdef0-20261123T120001Z.tar.age"
    place = shelf.put(directory, name, b"one")
    assert (place.read_bytes(), place.stat().st_mode & 0o777) == (b"one", 0o600)
    assert directory.stat().st_mode & 0o777 == 0o700
    with pytest.raises(FileExistsError):
        shelf.put(directory, name, b"two")
    assert [(each.name, each.read_bytes()) for each in directory.iterdir()] == [(name, b"one")]


def test_nothing_is_left_of_a_backup_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        shelf.put(tmp_path, "x", b"content")
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_its_owners_alone_from_its_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr("os.fsync", lambda descriptor: seen.append(Path(f"/proc/self/fd/{descriptor}").stat().st_mode))
    previous = os.umask(0)
    try:
        shelf.put(tmp_path, "x", b"content")
    finally:
        os.umask(previous)
    assert [mode & 0o777 for mode in seen] == [0o600]


def test_what_a_backup_lacks_is_told_together(settings: Settings, data: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackupError) as caught:
        check_backup(parse({**data, "backup_directory": str(tmp_path / "file" / "below")}))
    assert "backup_recipients: empty" in str(caught.value)
    assert f"backup_directory: {tmp_path}/file is not a directory" in str(caught.value)
    check_backup(parse({**data, "backup_recipients": RECIPIENT, "backup_directory": str(tmp_path / "new" / "one")}))


def test_wrong_recipients_are_told_together_and_a_private_key_is_not_repeated(data: dict[str, object]) -> None:
    ecdsa = "ecdsa-sha2-nistp256 AAAA"
    with pytest.raises(SettingsError) as caught:
        parse({**data, "backup_recipients": [RECIPIENT[:-1], str(archive.IDENTITY), ecdsa, RECIPIENT]})
    told = str(caught.value)
    assert told.startswith("3 settings cannot work")
    assert "backup_recipients[0]: no whole public key" in told
    assert 'backup_recipients[1]: must be a public key: "age1..."' in told
    assert f"(got '{ecdsa}')" in told
    assert str(archive.IDENTITY) not in told


def test_what_a_restore_lacks_is_told_together(settings: Settings, data: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(RestoreError) as caught:
        source(settings, {})
    assert "restore_file: empty" in str(caught.value)
    assert f"restore_identity: empty; set it, or {IDENTITY}" in str(caught.value)
    with pytest.raises(RestoreError) as caught:
        source(parse({**data, "restore_file": "nowhere", "restore_identity": str(tmp_path / "none")}), {})
    assert "restore_file: nowhere is not a file" in str(caught.value)
    assert f"restore_identity: {tmp_path}/none does not exist" in str(caught.value)


def test_the_setting_comes_before_the_environment(data: dict[str, object], tmp_path: Path) -> None:
    file, identity = archive.identity_file(tmp_path), archive.identity_file(tmp_path)
    named = parse({**data, "restore_file": str(file), "restore_identity": str(identity)})
    assert source(named, {IDENTITY: "/elsewhere"}).identity == str(identity)
    unnamed = parse({**data, "restore_file": str(file)})
    assert source(unnamed, {IDENTITY: str(identity)}).identity == str(identity)


@pytest.fixture
def backup(data: dict[str, object], tmp_path: Path) -> dict[str, object]:
    """Settings that name a backup of DOMAIN and its identity."""
    file = tmp_path / "backup.tar.age"
    file.write_bytes(encryption.encrypt(pack(archive.bundle()), [RECIPIENT]))
    return {**data, "restore_file": str(file), "restore_identity": str(archive.identity_file(tmp_path))}


def test_another_domains_backup_needs_a_word(backup: dict[str, object]) -> None:
    check(parse(backup))
    elsewhere = {**backup, "site_domain": "other.example.org"}
    with pytest.raises(RestoreError, match=rf"a backup of {DOMAIN}, site_domain is other\.example\.org"):
        check(parse(elsewhere))
    check(parse({**elsewhere, "restore_domain": DOMAIN}))
    with pytest.raises(RestoreError, match=r"restore_domain is third\.example\.org"):
        check(parse({**backup, "restore_domain": "third.example.org"}))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"age-encryption.org/v1\n", "cut or damaged", id="cut"),
        pytest.param(b"hello", "is no age file", id="text"),
        pytest.param(encryption.encrypt(b"hello", [RECIPIENT]), "no whole tar archive", id="not-a-tar"),
        pytest.param(encryption.encrypt(pack(archive.bundle({})), [RECIPIENT]), "no LiveKit key pair", id="empty"),
        pytest.param(
            encryption.encrypt(b"x", [str(pyrage.x25519.Identity.generate().to_public())]),
            "encrypted to other keys than the identity's",
            id="for-others",
        ),
    ],
)
def test_what_is_no_backup_for_us_is_one_clear_error(backup: dict[str, object], content: bytes, said: str) -> None:
    Path(str(backup["restore_file"])).write_bytes(content)
    with pytest.raises(RestoreError) as caught:
        check(parse(backup))
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_a_backup_is_opened_once_in_a_run(backup: dict[str, object], tmp_path: Path) -> None:
    """So that an identity can come through a pipe."""
    settings = parse(backup)
    first = opened(source(settings))
    (tmp_path / "identity.txt").write_text("")
    assert opened(source(settings)) is first
