"""What is in a backup: only who should reads it, what goes in comes out, and what is not as it was made is refused."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tarfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import backups
from tests.unit.backups import ACCOUNT, AUTHORITY, DOMAIN, RECIPIENT, SITE
from voicestack import age
from voicestack.age import AgeError
from voicestack.backup import operations
from voicestack.backup.contents import AGENT_ENV, CADDYS_DATA, LIVEKIT_ENV, NOTE, ended, members, pack, problems, unpack
from voicestack.backup.operations import BackupError, opened, put, to_restore
from voicestack.settings.load import SettingsError, parse

CADDYS = f"{CADDYS_DATA}/caddy"


def test_what_goes_in_comes_out() -> None:
    assert unpack(backups.backup()) == (DOMAIN, backups.files())


def test_a_backup_of_an_older_commit_is_read_too() -> None:
    """Its note, of format 1, had more in it."""
    note = b'{"format": 1, "domain": "voice.example.org", "made": "2026-11-23T12:00:00+00:00", "files": {"x": "y"}}'
    assert unpack(pack({NOTE: note, **backups.files()})) == (DOMAIN, backups.files())


def test_the_note_comes_first_and_every_file_is_roots_alone() -> None:
    with tarfile.open(fileobj=io.BytesIO(backups.backup())) as tar:
        listed = tar.getmembers()
    assert listed[0].name == NOTE
    assert {(each.mode, each.uid, each.gid, each.type) for each in listed} == {(0o600, 0, 0, tarfile.REGTYPE)}
    assert {each.name for each in listed[1:]} == backups.files().keys()


@pytest.mark.parametrize(
    "path",
    [
        "../etc/passwd",
        "etc/cron.d/x",
        f"{CADDYS}/certificates/local/../../x.crt",
        f"{CADDYS}/certificates/local/../x.crt",
        f"/{LIVEKIT_ENV}",
        f"{LIVEKIT_ENV}/x",
        f"./{LIVEKIT_ENV}",
        "opt/voice/bin/start.py",
        "opt/voice/secrets/livekit.env.20261123T120000Z",
        f"{CADDYS}/locks/issue_cert_x.lock",
        f"{CADDYS}/acme/ca/challenge_tokens/x.json",
        f"{CADDYS}/certificates/local/{DOMAIN}/.{DOMAIN}.crt",
        f"{CADDYS}/certificates/local/{DOMAIN}/a b.crt",
        f"{CADDYS}/certificates/local/{DOMAIN}/x.crt\n",
        f"{SITE}.pem",
        "",
    ],
)
def test_a_name_that_no_backup_has_is_left_on_the_host_and_refused_on_the_way_back(path: str) -> None:
    archived = backups.backup({**backups.files(), path: b"x"})
    assert members(archived)[0].keys() == {NOTE, *backups.files()}
    with pytest.raises(ValueError, match="has no place in a backup"):
        unpack(archived)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_links_devices_and_directories_are_refused_under_any_name(kind: bytes) -> None:
    buffer = io.BytesIO(backups.backup())
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        member = tarfile.TarInfo(f"{SITE}-x.json")
        member.type, member.linkname = kind, f"{SITE}.json"
        tar.addfile(member)
    with pytest.raises(ValueError, match="has no place in a backup"):
        unpack(buffer.getvalue())


@pytest.mark.parametrize("note", [None, b"", b"{", b"[]", b"{}", b"7"])
def test_what_does_not_say_whose_it_is_is_refused(note: bytes | None) -> None:
    with pytest.raises(ValueError, match=f"has no {NOTE} that names a domain"):
        unpack(pack({**({} if note is None else {NOTE: note}), **backups.files()}))


@given(st.data())
def test_a_tar_that_is_cut_anywhere_is_refused_or_whole(data: st.DataObject) -> None:
    content = backups.backup()
    with contextlib.suppress(ValueError):
        assert unpack(content[: data.draw(st.integers(0, len(content) - 1))])[1] == backups.files()


@pytest.mark.parametrize("content", [b"", b"\0" * 512, b"nonsense" * 200])
def test_what_is_no_tar_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="is no whole tar"):
        members(content)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({AGENT_ENV: None}, None),
        ({f"{AUTHORITY}.key": None}, None),  # an authority's key may be kept elsewhere
        ({f"{SITE}.key": backups.certificate()[1]}, f"/{SITE}.crt: not whole, or without its key"),
        ({f"{SITE}.crt": backups.certificate()[0]}, f"/{SITE}.crt: not whole, or without its key"),
        ({f"{SITE}.key": None}, f"/{SITE}.crt: not whole, or without its key"),
        ({f"{SITE}.crt": b"-----BEGIN CERT"}, f"/{SITE}.crt: not whole, or without its key"),
        ({f"{SITE}.json": b'{"sans":'}, f"/{SITE}.json: not whole, or without its key"),
        ({f"{ACCOUNT}.key": b""}, f"/{ACCOUNT}.key: not whole, or without its key"),
        ({f"{ACCOUNT}.json": b"\xff"}, f"/{ACCOUNT}.json: not whole, or without its key"),
        ({f"{AUTHORITY}.crt": backups.certificate()[0]}, f"/{AUTHORITY}.crt: not whole, or without its key"),
        ({f"{AUTHORITY}.crt": b"", f"{AUTHORITY}.key": None}, f"/{AUTHORITY}.crt: not whole, or without its key"),
        ({LIVEKIT_ENV: None}, f"/{LIVEKIT_ENV}: missing, there is no LiveKit key pair"),
        ({LIVEKIT_ENV: b"LIVEKIT_API_KEY=APIx\n"}, f"/{LIVEKIT_ENV}: not whole, or without its key"),
        ({AGENT_ENV: backups.files()[LIVEKIT_ENV]}, f"/{AGENT_ENV}: not whole, or without its key"),
        ({AGENT_ENV: b"\xff"}, f"/{AGENT_ENV}: not whole, or without its key"),
    ],
    ids=range(16),
)
def test_what_is_torn_or_no_key_pair_is_named_and_refused(change: dict[str, bytes | None], fault: str | None) -> None:
    files = {path: content for path, content in {**backups.files(), **change}.items() if content is not None}
    assert problems(files) == ([fault] if fault else [])
    if fault:
        with pytest.raises(ValueError, match=re.escape(fault)):
            unpack(backups.backup(files))


def test_a_sites_certificate_that_has_ended_is_of_no_use_an_authority_is() -> None:
    now = datetime.now(timezone.utc)
    assert ended(backups.files(), now) == []
    assert ended(backups.files(), now + timedelta(days=2)) == [f"{SITE}.crt", f"{SITE}.json", f"{SITE}.key"]


def test_encryption_and_back(tmp_path: Path) -> None:
    content = backups.backup()
    sealed = age.encrypt(content, [RECIPIENT])
    assert backups.LIVEKIT_SECRET.encode() not in sealed
    identity = backups.identity_file(tmp_path)
    assert age.decrypt(sealed, identity) == content
    for place in (100, 300, len(sealed) // 2, len(sealed) - 1):
        flipped = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        for broken in (sealed[:place], flipped):
            with pytest.raises(AgeError, match="cannot be decrypted"):
                age.decrypt(broken, identity)
    with pytest.raises(AgeError, match="No matching keys found"):
        age.decrypt(sealed, backups.identity_file(tmp_path, str(pyrage.x25519.Identity.generate())))


def test_every_recipient_can_read_it(tmp_path: Path) -> None:
    others = [pyrage.x25519.Identity.generate() for _ in range(2)]
    sealed = age.encrypt(b"x", [str(each.to_public()) for each in others])
    for each in others:
        assert age.decrypt(sealed, backups.identity_file(tmp_path, f"{each}\n")) == b"x"


def test_an_ssh_key_reads_it_too(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    sealed = age.encrypt(b"x", [f"{public} somebody@example.org"])
    assert age.decrypt(sealed, backups.identity_file(tmp_path, private)) == b"x"
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(b"passphrase")).decode()
    with pytest.raises(AgeError, match="without a passphrase"):
        age.decrypt(sealed, backups.identity_file(tmp_path, locked))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# nothing\n", "cannot be decrypted"),
        ("AGE-SECRET-KEY-1NONSENSE\n", "is no identity"),
        ("age-encryption.org/v1\n-> scrypt", "AGE_IDENTITY_FILE=<(age -d FILE)"),
        ("-----BEGIN AGE ENCRYPTED FILE-----\n", "AGE_IDENTITY_FILE=<(age -d FILE)"),
        ("-----BEGIN OPENSSH PRIVATE" + " KEY-----\nnonsense\n", "is no identity"),
    ],
)
def test_a_file_without_a_usable_identity_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(AgeError, match=re.escape(said)) as caught:
        age.decrypt(age.encrypt(b"x", [RECIPIENT]), backups.identity_file(tmp_path, text))
    assert "NONSENSE" not in str(caught.value)


def test_an_identity_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = backups.identity_file(tmp_path)
    for mode in (0o640, 0o604):
        path.chmod(mode)
        with pytest.raises(AgeError, match=f"chmod 600 {path}"):
            age.decrypt(age.encrypt(b"x", [RECIPIENT]), path)


def test_wrong_recipients_are_told_together_and_a_private_key_is_not_repeated(data: dict[str, object]) -> None:
    ecdsa = "ecdsa-sha2-nistp256 AAAA"
    with pytest.raises(SettingsError) as caught:
        parse({**data, "backup_recipients": [RECIPIENT[:-1], str(backups.IDENTITY), ecdsa, RECIPIENT]})
    told = str(caught.value)
    assert told.startswith("3 settings cannot work")
    assert "backup_recipients[0]: no whole public key" in told
    assert 'backup_recipients[1]: must be a public key: "age1..."' in told
    assert f"(got '{ecdsa}')" in told
    assert str(backups.IDENTITY) not in told


def test_a_backup_is_its_owners_alone_complete_and_replaces_none(tmp_path: Path) -> None:
    place = tmp_path / "new" / "backups" / "x.tar.age"
    previous = os.umask(0)
    try:
        put(place, b"one")
    finally:
        os.umask(previous)
    assert (place.read_bytes(), place.stat().st_mode & 0o777) == (b"one", 0o600)
    assert place.parent.stat().st_mode & 0o777 == 0o700
    with pytest.raises(FileExistsError):
        put(place, b"two")
    assert [(each, each.read_bytes()) for each in place.parent.iterdir()] == [(place, b"one")]


def test_a_backup_is_private_and_nameless_until_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def full(descriptor: int) -> None:
        seen.append(Path(f"/proc/self/fd/{descriptor}").stat().st_mode & 0o777)
        assert not (tmp_path / "x").exists()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        put(tmp_path / "x", b"content")
    assert seen == [0o600]
    assert list(tmp_path.iterdir()) == []


class Named:
    """As much of pyinfra's host as the choice of hosts takes: a run for hosts with these names."""

    def __init__(self, *names: str) -> None:
        self.name, self.inventory, self.state = names[0], [self, *map(Named, names[1:])], self

    @staticmethod
    def is_host_in_limit(each: Named) -> bool:
        return each.name != "left-out"


@pytest.fixture
def wanted(data: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Settings that name a backup of DOMAIN and its identity; a run for one of two hosts."""
    monkeypatch.setattr(operations, "host", Named("voice-1", "left-out"))
    monkeypatch.delenv(operations.IDENTITY, raising=False)
    opened.cache_clear()
    file, identity = backups.backup_file(tmp_path), backups.identity_file(tmp_path)
    return {**data, "restore_file": str(file), "restore_identity": str(identity)}


def refusal(data: dict[str, object]) -> str:
    with pytest.raises(BackupError) as caught:
        to_restore(parse(data))
    return str(caught.value)


def test_a_restore_needs_a_file_and_an_identity(wanted: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    assert to_restore(parse(wanted)) == (wanted["restore_file"], wanted["restore_identity"])
    for setting in ("restore_file", "restore_identity"):
        assert "restore_file must name a file" in refusal({**wanted, setting: ""})
        assert "/nowhere" in refusal({**wanted, setting: "/nowhere"})
    monkeypatch.setenv("AGE_IDENTITY_FILE", "/elsewhere")
    assert to_restore(parse(wanted))[1] == wanted["restore_identity"]
    monkeypatch.setenv("AGE_IDENTITY_FILE", str(wanted["restore_identity"]))
    assert to_restore(parse({**wanted, "restore_identity": ""}))[1] == wanted["restore_identity"]


def test_another_domains_backup_needs_a_word(wanted: dict[str, object]) -> None:
    elsewhere = {**wanted, "site_domain": "other.example.org"}
    assert f"a backup of '{DOMAIN}', site_domain is other.example.org" in refusal(elsewhere)
    to_restore(parse({**elsewhere, "restore_domain": DOMAIN}))
    assert "restore_domain is third.example.org" in refusal({**wanted, "restore_domain": "third.example.org"})


def test_a_backup_goes_to_one_host_at_a_time(wanted: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "host", Named("voice-1", "left-out", "voice-2"))
    assert refusal(wanted).startswith("--limit: the run is for voice-1, voice-2; name the one")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"age-encryption.org/v1\n", "cannot be decrypted"),
        (b"hello", "cannot be decrypted"),
        (age.encrypt(b"hello", [RECIPIENT]), "is no whole tar"),
        (age.encrypt(backups.backup({}), [RECIPIENT]), "no LiveKit key pair"),
        (age.encrypt(backups.backup(domain="\x1b[2J"), [RECIPIENT]), r"a backup of '\x1b[2J'"),
        (age.encrypt(b"x", [str(pyrage.x25519.Identity.generate().to_public())]), "No matching keys found"),
    ],
    ids=["cut", "text", "not-a-tar", "empty", "steers-a-terminal", "for-others"],
)
def test_what_is_no_backup_for_us_is_one_clear_error(wanted: dict[str, object], content: bytes, said: str) -> None:
    Path(str(wanted["restore_file"])).write_bytes(content)
    told = refusal(wanted)
    assert said in told
    assert told.startswith(f"restore_file: {wanted['restore_file']}")
    assert len(told.splitlines()) == 1


def test_an_identity_can_come_through_a_pipe(wanted: dict[str, object]) -> None:
    """As the shell's <(age -d identity.age) gives it: so a backup is opened once in a run."""
    reader, writer = os.pipe()
    os.write(writer, f"{backups.IDENTITY}\n".encode())
    os.close(writer)
    settings = parse({**wanted, "restore_identity": f"/dev/fd/{reader}"})
    first = opened(*to_restore(settings))
    os.close(reader)
    assert opened(*to_restore(settings)) is first
