"""Whole runs of pyinfra that back up and restore planted secrets, against this machine: nothing shows or leaves one."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.programs.workplace import furnish
from tests.programs.workplace import run as run_there
from tests.unit import archive
from voicestack.backup.places import AGENT_ENV, CADDYS_DATA, LIVEKIT_ENV

INVENTORY = """
voice = [("@local", {"site_domain": "voice.example.org"})]
"""

DEPLOY = """
import os
from pathlib import Path
from pyinfra.context import host
from voicestack.backup import bundle, contents, places, restore, save, shelf
from voicestack.settings.load import load
from voicestack.stack import operations as stack

settings = load(host)
places.ROOT = os.environ["PLACE"] + "/"
stack.HOME = places.ROOT + "opt/voice"
restore.STAGED = os.environ["PLACE"] + "-staged"
print("the run looks at", places.ROOT)


def crash(*arguments):
    raise RuntimeError("a crash")


def crash_of_the_disk(*arguments):
    raise OSError(28, "No space left on device")


match os.environ["CRASH"]:
    case "encrypt":
        save.encrypt = crash
    case "put":
        shelf.put = crash_of_the_disk
    case "unpack":
        bundle.unpack = crash
    case "place":
        stack.has_pairs = crash

if settings.restore.file:
    restore.check(settings)
    restore.restore(
        name="Restore", file=settings.restore.file, identity=restore.source(settings).identity, with_agents=True
    )
else:
    save.check(settings)
    save.install(settings)
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    furnish(tmp_path, INVENTORY, DEPLOY)
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    archive.write(tmp_path / "old", archive.files())
    # What Caddy makes by itself: it has no place in a backup.
    archive.write(
        tmp_path / "old",
        {f"{CADDYS_DATA}/locks/x.lock": b"{}", f"{CADDYS_DATA}/acme/ca/challenge_tokens/x.json": b"{}"},
    )
    archive.identity_file(tmp_path)
    return tmp_path


def run(
    workplace: Path, place: str, *options: str, crash: str = "", pipe: int | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {
        "VOICE_SECRETS_FILE": "",
        "AGE_IDENTITY_FILE": str(workplace / "identity.txt") if pipe is None else f"/dev/fd/{pipe}",
        "PLACE": str(workplace / place),
        "CRASH": crash,
    }
    pass_fds = () if pipe is None else (pipe,)
    return run_there(workplace, *options, environment=environment, pass_fds=pass_fds)


def backup(workplace: Path, *options: str, crash: str = "") -> subprocess.CompletedProcess[str]:
    wanted = ("--data", f"backup_recipients={archive.RECIPIENT}", "--data", f"backup_directory={workplace}/backups")
    return run(workplace, "old", *options, *wanted, crash=crash)


def restored(
    workplace: Path, *options: str, crash: str = "", pipe: int | None = None
) -> subprocess.CompletedProcess[str]:
    (file,) = (workplace / "backups").iterdir()
    return run(workplace, "new", *options, "--data", f"restore_file={file}", crash=crash, pipe=pipe)


def assert_silent(workplace: Path, finished: subprocess.CompletedProcess[str]) -> None:
    """No secret is in what was printed, nor in a file but those of the two hosts, which are their owner's alone."""
    printed = finished.stdout + finished.stderr
    assert re.findall(r"[A-Za-z0-9+/]{76}", printed) == []  # as a tar travels, in base64
    hosts = (workplace / "old", workplace / "new")
    files = [path for path in workplace.rglob("*") if path.is_file()]
    for planted in (*archive.private(), str(archive.IDENTITY)):
        assert planted not in printed
        holders = [path for path in files if planted in path.read_text(errors="replace")]
        assert {path.stat().st_mode & 0o077 for path in holders} == {0}
        elsewhere = {path.name for path in holders if not set(path.parents) & set(hosts)}
        assert elsewhere <= {"identity.txt"}


LOUD = [("-vvv", "--diff"), ("--debug-all", "-vvv", "--diff")]


@pytest.mark.parametrize("options", LOUD)
def test_a_backup_and_its_way_back_show_no_secret(workplace: Path, options: tuple[str, ...]) -> None:
    saved = backup(workplace, *options)
    assert saved.returncode == 0, saved.stderr[-4000:]
    assert f"{len(archive.files())} files, encrypted to 1 key" in saved.stderr
    assert_silent(workplace, saved)
    back = restored(workplace, *options)
    assert back.returncode == 0, back.stderr[-4000:]
    assert_silent(workplace, back)
    for path, content in archive.files().items():
        assert (workplace / "new" / path).read_bytes() == content
        assert (workplace / "new" / path).stat().st_mode & 0o777 == 0o600
    assert not (workplace / "new-staged").exists()


@pytest.mark.parametrize(
    ("crash", "said"), [("encrypt", "a crash"), ("put", "backup_directory: [Errno 28] No space left on device")]
)
def test_a_backup_that_crashes_shows_no_secret_and_leaves_no_file(workplace: Path, crash: str, said: str) -> None:
    finished = backup(workplace, "--debug-all", "-vvv", crash=crash)
    assert finished.returncode == 1
    assert said in finished.stdout + finished.stderr
    assert not (workplace / "backups").exists()
    assert_silent(workplace, finished)


@pytest.mark.parametrize("crash", ["unpack", "place"])
def test_a_restore_that_crashes_shows_no_secret_and_leaves_no_file(workplace: Path, crash: str) -> None:
    assert backup(workplace).returncode == 0
    finished = restored(workplace, "--debug-all", "-vvv", crash=crash)
    assert finished.returncode == 1
    assert "a crash" in finished.stdout + finished.stderr
    assert list((workplace / "new").iterdir()) == []
    assert_silent(workplace, finished)


def test_a_host_without_the_stack_has_nothing_to_save(workplace: Path) -> None:
    (workplace / "old" / LIVEKIT_ENV).unlink()
    finished = backup(workplace)
    assert finished.returncode == 1
    assert f"/{LIVEKIT_ENV}: missing, there is no LiveKit key pair" in finished.stderr
    assert "no backup was made; run deploys/voice.py" in finished.stderr
    assert not (workplace / "backups").exists()


def test_a_certificate_that_stays_torn_is_named_with_the_way_out(workplace: Path) -> None:
    archive.write(workplace / "old", {f"{archive.SITE}.crt": archive.certificate()[0]})
    finished = backup(workplace)
    assert finished.returncode == 1
    assert finished.stderr.count("not whole, Caddy may be writing") == 4
    assert f"/{archive.SITE}.crt: its key is missing or another one's" in finished.stderr
    assert "if one certificate stays broken, remove its directory" in finished.stderr
    assert not (workplace / "backups").exists()


def test_an_identity_can_come_through_a_pipe(workplace: Path) -> None:
    """As the shell's <(age -d identity.age) gives it."""
    assert backup(workplace).returncode == 0
    reader, writer = os.pipe()
    os.write(writer, f"{archive.IDENTITY}\n".encode())
    os.close(writer)
    back = restored(workplace, pipe=reader)
    os.close(reader)
    assert back.returncode == 0, back.stderr[-4000:]


def test_an_ended_certificate_does_not_take_the_place_of_a_good_one(workplace: Path) -> None:
    crt, key = archive.certificate(days=-1)
    archive.write(workplace / "old", {f"{archive.SITE}.crt": crt, f"{archive.SITE}.key": key})
    archive.write(workplace / "new", {f"{archive.SITE}.crt": archive.files()[f"{archive.SITE}.crt"]})
    assert backup(workplace).returncode == 0
    back = restored(workplace)
    assert back.returncode == 0, back.stderr[-4000:]
    assert f"not restored, for the certificates have ended: {archive.SITE}.crt, " in back.stderr
    assert (workplace / "new" / f"{archive.SITE}.crt").read_bytes() == archive.files()[f"{archive.SITE}.crt"]
    assert (workplace / "new" / f"{archive.AUTHORITY}.crt").exists()


def test_the_agents_pair_stays_away_from_a_host_that_shall_have_none(workplace: Path) -> None:
    assert backup(workplace).returncode == 0
    assert AGENT_ENV in archive.files()
    deploy = (workplace / "deploy.py").read_text()
    (workplace / "deploy.py").write_text(deploy.replace("with_agents=True", "with_agents=False"))
    back = restored(workplace)
    assert back.returncode == 0, back.stderr[-4000:]
    assert "the agent's key pair for AWS is not restored: agent_aws_keys = 'none'" in back.stderr
    assert (workplace / "new" / AGENT_ENV).read_bytes() == b""
