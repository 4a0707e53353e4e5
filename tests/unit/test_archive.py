"""A backup's inside: what goes in comes out, and what is not as it was made is refused."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import archive
from tests.unit.archive import DOMAIN, SITE
from voicestack.backup.bundle import MANIFEST, Bundle, BundleError, members, pack, unpack
from voicestack.backup.places import CADDYS_DATA, LIVEKIT_ENV, belongs


def test_what_goes_in_comes_out() -> None:
    made = archive.bundle()
    assert unpack(pack(made)) == made
    assert archive.LIVEKIT_SECRET not in repr(made)


def test_the_manifest_comes_first_and_every_file_is_roots_alone() -> None:
    with tarfile.open(fileobj=io.BytesIO(pack(archive.bundle()))) as tar:
        listed = tar.getmembers()
    assert listed[0].name == MANIFEST
    assert {(each.mode, each.uid, each.gid, each.type) for each in listed} == {(0o600, 0, 0, tarfile.REGTYPE)}
    assert {each.name for each in listed[1:]} == archive.files().keys()


@pytest.mark.parametrize(
    "path",
    [
        "../etc/passwd",
        f"{CADDYS_DATA}/certificates/local/../../x.crt",
        f"{CADDYS_DATA}/certificates/local/../x.crt",
        f"/{LIVEKIT_ENV}",
        f"{LIVEKIT_ENV}/x",
        f"./{LIVEKIT_ENV}",
        "opt/voice/bin/start.py",
        "opt/voice/secrets/livekit.env.20261123T120000Z",
        f"{CADDYS_DATA}/locks/issue_cert_x.lock",
        f"{CADDYS_DATA}/acme/ca/challenge_tokens/x.json",
        f"{CADDYS_DATA}/certificates/local/{DOMAIN}/.{DOMAIN}.crt",
        f"{CADDYS_DATA}/certificates/local/{DOMAIN}/a b.crt",
        f"{CADDYS_DATA}/certificates/local/{DOMAIN}/x.crt\n",
        f"{SITE}.pem",
        "",
    ],
)
def test_a_name_that_no_backup_has_is_refused_even_if_the_manifest_has_it(path: str) -> None:
    assert not belongs(path)
    with pytest.raises(BundleError, match="it holds what no backup holds"):
        unpack(pack(archive.bundle({**archive.files(), path: b"x"})))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_links_devices_and_directories_are_refused(kind: bytes) -> None:
    def add(tar: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(f"{SITE}.crt.x")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)

    with pytest.raises(BundleError, match="no plain file"):
        unpack(appended(add))


def test_a_name_twice_is_refused() -> None:
    def add(tar: tarfile.TarFile) -> None:
        tar.addfile(tarfile.TarInfo(LIVEKIT_ENV))

    with pytest.raises(BundleError, match="a name twice"):
        unpack(appended(add))


def appended(add: Callable[[tarfile.TarFile], None]) -> bytes:
    """A backup's tar with something more in it."""
    buffer = io.BytesIO(pack(archive.bundle()))
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        add(tar)
    return buffer.getvalue()


def test_a_file_that_is_not_as_the_manifest_says_is_named_without_its_content() -> None:
    made = archive.bundle()
    for files in (
        {**made.files, LIVEKIT_ENV: b"LIVEKIT_API_KEY=other\n"},
        {path: content for path, content in made.files.items() if path != LIVEKIT_ENV},
    ):
        with pytest.raises(BundleError, match=rf"not as its manifest says: '{LIVEKIT_ENV}'$"):
            unpack(pack(Bundle(made.manifest, files)))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("format", 2, "another format than this clone knows"),
        ("host", "\x1b[2Jx", "no readable voice-backup.json"),
        ("domain", "voice example", "no readable voice-backup.json"),
        ("made", "yesterday", "no readable voice-backup.json"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(field: str, value: object, said: str) -> None:
    fields = json.loads(archive.bundle().manifest.model_dump_json())
    text = json.dumps({**fields, field: value})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(MANIFEST)
        member.size = len(text.encode())
        tar.addfile(member, io.BytesIO(text.encode()))
    with pytest.raises(BundleError, match=said):
        unpack(buffer.getvalue())


@given(st.data())
def test_a_tar_that_is_cut_or_changed_anywhere_is_refused_or_whole(data: st.DataObject) -> None:
    made = archive.bundle({LIVEKIT_ENV: archive.files()[LIVEKIT_ENV]})
    content = bytearray(pack(made))
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:place]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(BundleError):
        assert unpack(bytes(content)).files == made.files


def test_what_is_no_tar_is_refused() -> None:
    for content in (b"", b"\0" * 512, b"nonsense" * 200):
        with pytest.raises(BundleError):
            unpack(content)


def test_the_hosts_own_tar_may_hold_more_than_a_backup_does() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("x" * 150))
    assert list(members(buffer.getvalue())) == ["x" * 150]
