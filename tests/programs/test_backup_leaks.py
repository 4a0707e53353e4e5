"""Whole runs of pyinfra that back up and restore planted secrets, against this machine: nothing shows or leaves one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.programs.workplace import furnish, holders
from tests.programs.workplace import run as run_there
from tests.unit import backups
from voicestack.backup.contents import AGENT_ENV, LIVEKIT_ENV

DEPLOY = """
import os
from pathlib import Path
from pyinfra.context import host
from voicestack.backup import contents, operations as backup
from voicestack.settings.load import load
from voicestack.stack import operations as stack

settings = load(host)
backup.ROOT = os.environ["PLACE"] + "/"
backup.HOME = stack.HOME = backup.ROOT + "opt/voice"
backup.PAUSE_S = 0
print("the run looks at", backup.ROOT)


def crash(*arguments):
    raise RuntimeError("a crash")


def crash_of_the_disk(*arguments):
    raise OSError(28, "No space left on device")


match os.environ["CRASH"]:
    case "encrypt":
        backup.age.encrypt = crash
    case "put":
        backup.put = crash_of_the_disk
    case "unpack":
        contents.unpack = crash
    case "place":
        stack.has_pairs = crash

if settings.restore.file:
    file, identity = backup.to_restore(settings)
    backup.restore(name="Restore", file=file, identity=identity, with_agents=True)
else:
    backup.save(name="Save", domain=settings.site.domain, wanted=settings.backup)
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    furnish(tmp_path, DEPLOY)
    (tmp_path / "new").mkdir()
    backups.write(tmp_path / "old", backups.files())
    backups.identity_file(tmp_path)
    return tmp_path


def run(
    workplace: Path, place: str, *options: str, crash: str = "", **secrets: str
) -> subprocess.CompletedProcess[str]:
    environment = {
        **secrets,
        "VOICE_SECRETS_FILE": "",
        "AGE_IDENTITY_FILE": str(workplace / "identity.txt"),
        "PLACE": str(workplace / place),
        "CRASH": crash,
    }
    return run_there(workplace, *options, environment=environment)


def backup(workplace: Path, *options: str, crash: str = "") -> subprocess.CompletedProcess[str]:
    wanted = ("--data", f"backup_recipients={backups.RECIPIENT}", "--data", f"backup_directory={workplace}/backups")
    return run(workplace, "old", *options, *wanted, crash=crash)


def restored(workplace: Path, *options: str, crash: str = "", **secrets: str) -> subprocess.CompletedProcess[str]:
    (file,) = (workplace / "backups").iterdir()
    return run(workplace, "new", *options, "--data", f"restore_file={file}", crash=crash, **secrets)


def assert_silent(workplace: Path, finished: subprocess.CompletedProcess[str]) -> None:
    """No secret is in what was printed, nor in a file but those of the two hosts, which are their owner's alone."""
    printed = finished.stdout + finished.stderr
    assert re.findall(r"[A-Za-z0-9+/]{76}", printed) == []  # as a tar travels, in base64
    hosts = {workplace / "old", workplace / "new"}
    for planted in (*backups.private(), str(backups.IDENTITY)):
        assert planted not in printed
        elsewhere = {path.name for path in holders(workplace, planted) if not hosts & set(path.parents)}
        assert elsewhere <= {"identity.txt"}


@pytest.mark.parametrize("options", [("-vvv", "--diff"), ("--debug-all", "-vvv", "--diff")])
def test_a_backup_and_its_way_back_show_no_secret(workplace: Path, options: tuple[str, ...]) -> None:
    saved = backup(workplace, *options)
    assert saved.returncode == 0, saved.stderr[-4000:]
    assert f"{len(backups.files())} files, encrypted to 1 public key(s): " in saved.stderr
    assert_silent(workplace, saved)
    back = restored(workplace, *options)
    assert back.returncode == 0, back.stderr[-4000:]
    assert_silent(workplace, back)
    for path, content in backups.files().items():
        assert (workplace / "new" / path).read_bytes() == content
        assert (workplace / "new" / path).stat().st_mode & 0o777 == 0o600
    again = restored(workplace, *options)
    assert again.returncode == 0, again.stderr[-4000:]
    assert "the host has what is in the backup" in again.stderr
    assert not (workplace / "new/var/lib/voice/caddy/replaced/.new").exists()


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


def test_what_would_be_of_no_use_there_is_not_restored(workplace: Path) -> None:
    """An ended certificate in the place of a good one; the agent's pair on a host that shall have none."""
    crt, key = backups.certificate(days=-1)
    backups.write(workplace / "old", {f"{backups.SITE}.crt": crt, f"{backups.SITE}.key": key})
    good = backups.files()[f"{backups.SITE}.crt"]
    backups.write(workplace / "new", {f"{backups.SITE}.crt": good})
    assert backup(workplace).returncode == 0
    deploy = (workplace / "deploy.py").read_text()
    (workplace / "deploy.py").write_text(deploy.replace("with_agents=True", "with_agents=False"))
    back = restored(workplace)
    assert back.returncode == 0, back.stderr[-4000:]
    left_out = ", ".join([*(f"{backups.SITE}.{kind}" for kind in ("crt", "json", "key")), AGENT_ENV])
    assert f"not restored, for a certificate has ended, or agent_aws_keys = 'none': {left_out}" in back.stderr
    assert (workplace / "new" / f"{backups.SITE}.crt").read_bytes() == good
    assert (workplace / "new" / f"{backups.AUTHORITY}.crt").exists()
    assert (workplace / "new" / AGENT_ENV).read_bytes() == b""


def test_a_pair_alone_that_differs_is_restored_and_a_run_that_brings_another_is_told(workplace: Path) -> None:
    assert backup(workplace).returncode == 0
    archived = backups.files()
    backups.write(
        workplace / "new", {**archived, LIVEKIT_ENV: archived[LIVEKIT_ENV].replace(b"APIplanted", b"APIother")}
    )
    back = restored(workplace, LIVEKIT_API_KEY="APIthird", LIVEKIT_API_SECRET="t" * 32)
    assert back.returncode == 0, back.stderr[-4000:]
    assert "this run brings another LIVEKIT_API_KEY" in back.stderr
    assert (workplace / "new" / LIVEKIT_ENV).read_bytes() == archived[LIVEKIT_ENV]
    assert len(list((workplace / "new" / LIVEKIT_ENV).parent.glob("livekit.env.2*"))) == 1
    assert not (workplace / "new/var/lib/voice/caddy/replaced").exists()


def test_nobody_to_encrypt_to_is_no_backup(workplace: Path) -> None:
    finished = run(workplace, "old")
    assert finished.returncode == 1
    assert "backup_recipients: empty; name the public keys" in finished.stderr
