"""What the audit's script reads of a host's files and of its record of runs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from voicestack.audit.facts import HostState, parse
from voicestack.stack.render import host_programs

SCRIPT = Path("voicestack/audit/state.sh")
LINE = {"who": "ada", "from": "laptop", "commit": "a" * 40, "pid": 7, "since": "x"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A stack's home with a kept release, programs that have run, and a file that somebody put there."""
    home = tmp_path / "voice"
    files = (
        *("compose.yml", "notes.txt", "bin/__pycache__/start.pyc", "secrets/livekit.env", ".running.json"),
        *(path for path in host_programs() if path != "bin/start.py"),
        *(f"releases/3/{name}" for name in ("compose.yml", "env/caddy.env", "release.json")),
    )
    for file in files:
        (home / file).parent.mkdir(parents=True, exist_ok=True)
        (home / file).touch()
    (home / "releases").chmod(0o700)
    (home / "releases" / "current").symlink_to("3")
    return home


def state(home: Path) -> HostState:
    """As the fact has it of that home; the lock and the record lie beside it."""
    beside = home.parent
    text = SCRIPT.read_text().replace("/run/voice", f"{beside}/voice").replace("/var/log/voice/", f"{beside}/log-")
    words = ["bash", "-euo", "pipefail", "-c", text, "voice", f"0 {home}/compose.yml", str(home), "/nowhere", "x.org"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return parse([line.strip() for line in said.splitlines()])  # as pyinfra does


def ran(home: Path, *runs: tuple[str, str]) -> None:
    """The record of runs: of what, and how each ended; the first one first."""
    lines = (
        json.dumps({**LINE, "what": f"deploys/{what}.py", "until": str(number), "outcome": outcome})
        for number, (what, outcome) in enumerate(runs)
    )
    (home.parent / "log-runs.jsonl").write_text("".join(f"{line}\n" for line in lines))


def test_releases_are_no_strangers_and_their_directory_is_a_secret(home: Path) -> None:
    found = state(home)
    programs = {f"{home}/{path}" for path in host_programs() if path != "bin/start.py"}
    assert set(found.others) == {f"{home}/{name}" for name in ("compose.yml", "notes.txt", ".running.json")} | programs
    assert found.secrets[f"{home}/releases"].startswith("700 ")
    assert found.release == "3"


def test_the_last_run_the_last_good_one_and_the_last_good_deploy(home: Path) -> None:
    assert state(home).runs == ()
    ran(home, ("voice", "done: 3 of 14"), ("voice", "failed: x"), ("rollback", "done: 1 of 1"), ("weights", "done"))
    assert [(run.what, run.until) for run in state(home).runs] == [
        *(("rollback.py", "2"), ("rollback.py", "2"), ("voice.py", "0"))
    ]
    ran(home, ("rollback", "done: 1 of 1"), ("voice", "cut off"))
    assert [(run.what, run.until) for run in state(home).runs] == [("voice.py", "1"), ("rollback.py", "0")]


def test_a_run_is_at_work_while_its_process_lives(home: Path) -> None:
    lock = home.parent / "voice-run.lock"
    holder = Path("voicestack/lock.sh").read_text().replace("/run/", f"{home.parent}/")
    words = ["bash", "-euo", "pipefail", "-c", holder, "voice", '{"who": "ada"']
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == f"held {process.pid}\n"
        assert state(home).at_work
        process.kill()
    assert str(process.pid) in lock.read_text()
    assert not state(home).at_work
    # Another program has its number by now: this one's will do.
    lock.write_text(f'{{"who": "ada", "pid": {os.getpid()}}}\n')
    assert not state(home).at_work
    lock.write_text("")
    assert not state(home).at_work
