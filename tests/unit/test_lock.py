"""The lock: what a run says of itself, and what who finds a host locked is told."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from voicestack import lock
from voicestack.git import Head
from voicestack.lock import BUSY, HELD, REBOOTING, LockedError, RebootingError, busy, commit, run

SCRIPT = Path("voicestack/lock.sh")
RUN = '{"who": "root", "from": "there", "what": "deploys/voice.py", "commit": "abc"'


@pytest.fixture
def script(tmp_path: Path) -> list[str]:
    """The host's part with its two paths below a temporary directory."""
    text = SCRIPT.read_text().replace("/run/", f"{tmp_path}/").replace("/var/log/", f"{tmp_path}/")
    return ["bash", "-euo", "pipefail", "-c", text, "voice", RUN]


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("begun\nbegun\ndone\ndone: 1 of 2\n", "done: 1 of 2"),
        ("begun\n", "cut off"),  # the connection broke
        ('begun\nfailed: "x\\y"\n', "failed: xy"),
        *((words, "") for words in ("", "done\n", "begun\npause\n")),  # it did not begin, or waits for a reboot
    ],
)
def test_a_run_that_began_is_recorded(script: list[str], tmp_path: Path, words: str, outcome: str) -> None:
    said = subprocess.run(script, input=words, capture_output=True, text=True, check=True)
    assert said.stdout.split()[0] == HELD
    assert (tmp_path / "voice-run.lock").read_text() == ""
    record = tmp_path / "voice/runs.jsonl"
    assert record.exists() == bool(outcome)
    if outcome:
        assert json.loads(record.read_text()).items() >= {**json.loads(f"{RUN}}}"), "outcome": outcome}.items()
        assert record.stat().st_mode & 0o777 == 0o600


def unread(pipe: int) -> int:
    """Bytes that nobody has taken out of it."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4), sys.byteorder)


def test_a_run_whose_lock_is_ended_by_hand_is_recorded_so(script: list[str], tmp_path: Path) -> None:
    with subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        process.stdin.write("begun\n")
        process.stdin.flush()
        while unread(process.stdin.fileno()):
            assert process.poll() is None
        process.terminate()
        assert process.wait(10) == 0
    assert json.loads((tmp_path / "voice/runs.jsonl").read_text())["outcome"] == "ended by hand"


def test_who_comes_second_is_told_who_is_there(script: list[str], tmp_path: Path) -> None:
    with (tmp_path / "voice-run.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(RUN + ', "since": "2026-11-23T12:00:00Z", "pid": 4711}\n')
        held.flush()
        second = subprocess.run(script, input="begun\n", capture_output=True, text=True, check=False)
    assert second.returncode == BUSY
    told = busy(second.stderr)
    assert "another run is at work since 2026-11-23T12:00:00Z: deploys/voice.py of root on there (commit abc)" in told
    assert "`sudo kill 4711`" in told


def test_the_same_run_takes_it_again_from_its_old_connection_and_no_other_does(script: list[str]) -> None:
    def start(*before: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*script, *before], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def first_line(process: subprocess.Popen[str]) -> str:
        assert process.stdout
        return process.stdout.readline().strip()

    with start() as old:
        held, _, pid = first_line(old).partition(" ")
        assert (held, pid) == (HELD, str(old.pid))
        with start(str(os.getpid())) as other:
            assert first_line(other) == ""
            assert other.wait() == BUSY
        with start(pid) as again:
            assert first_line(again) == f"{HELD} {again.pid}"
            assert old.wait() == -signal.SIGKILL
            again.communicate("done\n")


def test_a_host_whose_reboot_was_ordered_gives_nobody_its_lock(script: list[str], tmp_path: Path) -> None:
    """The run that ordered it was ended just then; the file is gone after the boot."""
    (tmp_path / "voice-reboot").touch()
    refused = subprocess.run(script, input="begun\n", capture_output=True, text=True, check=False)
    assert refused.returncode == REBOOTING
    assert refused.stderr.strip() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert not (tmp_path / "voice").exists()


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_run_that_comes_before_the_reboot_waits_for_it(monkeypatch: pytest.MonkeyPatch, comes_back: bool) -> None:
    state = MagicMock(callback_handlers=[])
    state.add_callback_handler.side_effect = state.callback_handlers.append
    host = MagicMock(state=state)
    host.name = "alpha"
    state.inventory.get_host.return_value = host
    answers = iter([RebootingError("this-boot"), None])

    def take(self: lock.Lock) -> None:
        if (error := next(answers)) is not None:
            raise error

    waited = MagicMock(return_value=comes_back)
    monkeypatch.setattr(lock.Lock, "take", take)
    monkeypatch.setattr("voicestack.lock.await_next_boot", waited)
    if comes_back:
        lock.hold(host)
        assert lock.held(host) is not None
    else:
        with pytest.raises(LockedError, match="alpha: no next boot; if none is coming: rm /run/voice-reboot on it"):
            lock.hold(host)
    waited.assert_called_once_with(host, "this-boot")


@pytest.mark.parametrize("said", ["", "nonsense", "[]", "{}"])
def test_a_lock_without_a_readable_holder_is_still_a_refusal(said: str) -> None:
    assert busy(said).startswith("another run is at work; nothing was changed")


@pytest.mark.parametrize(
    ("ours", "said"),
    [(Head("a" * 40), "a" * 40), (Head("a" * 40, dirty=True), "a" * 40 + "-dirty"), (Head(), "unknown")],
)
def test_a_run_is_dirty_exactly_when_the_audit_calls_its_clone_so(
    monkeypatch: pytest.MonkeyPatch, ours: Head, said: str
) -> None:
    """An untracked template is deployed too, and an edited document is not (test_audit_release.py)."""
    monkeypatch.setattr("voicestack.lock.head", lambda: ours)
    assert commit() == said


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["inventories/prod.py", "deploys/voice.py", "--data", "x=y.py"], "deploys/voice.py"),
        (["/srv/deploys/x/inventories/prod.py", "/srv/deploys/x/deploys/voice.py"], "/srv/deploys/x/deploys/voice.py"),
        (["/srv/deploys/prod.py", "deploys/weights.py"], "deploys/weights.py"),
        (["-c", "pass"], "?"),
    ],
)
def test_a_run_names_its_commit_and_its_deploy_and_not_its_inventory(
    monkeypatch: pytest.MonkeyPatch, words: list[str], what: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["pyinfra", "-y", *words])
    named = json.loads(run() + "}")
    assert named.keys() == {"who", "from", "what", "commit"}
    assert len(named["commit"].removesuffix("-dirty")) == 40
    assert named["what"] == what
