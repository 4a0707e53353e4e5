"""What the audit's script reads of a host: no secret, no value of an environment; files, runs, a run at work."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path

import pytest

from voicestack.audit.facts import HostState, asked, parse
from voicestack.audit.redacted import env_lines
from voicestack.remote import File
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


def printed(home: Path, files: str = "") -> str:
    """What the script prints of that home; the lock and the record lie beside it."""
    beside = home.parent
    text = SCRIPT.read_text().replace("/run/voice", f"{beside}/voice").replace("/var/log/voice/", f"{beside}/log-")
    words = ["bash", "-euo", "pipefail", "-c", text, "voice", files, str(home), "/nowhere", "x.org"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def state(home: Path) -> HostState:
    """As the fact has it."""
    return parse([line.strip() for line in printed(home).splitlines()])  # as pyinfra does


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


def test_the_runs_that_decide_which_files_are_live_are_read_the_last_one_first(home: Path) -> None:
    assert state(home).runs == ()
    ran(home, ("voice", "done: 3 of 14"), ("voice", "failed: x"), ("rollback", "done: 1 of 1"), ("weights", "done"))
    assert [(run.what, run.until) for run in state(home).runs] == [
        *(("rollback.py", "2"), ("voice.py", "1"), ("voice.py", "0"))
    ]


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


def test_files_are_reported_without_values_and_secrets_without_content(tmp_path: Path) -> None:
    for path, text, mode in (
        ("caddy/Caddyfile", "edited\n", 0o644),
        ("env/a.env", "A='x'\nB='geheim'\nQWxhZGRpbg==\n", 0o600),
        ("secrets/livekit.env", "LIVEKIT_API_SECRET=geheim\n", 0o640),
        ("livekit/keys.yaml", "key: geheim\n", 0o600),
        ("same", "same", 0o644),
        ("odd\tname", "", 0o644),
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
        (tmp_path / path).chmod(mode)
    wanted = {
        f"{tmp_path}/caddy/Caddyfile": File(b"wanted\n"),
        f"{tmp_path}/env/a.env": File(b"A='x'\nB='y'\n", 0o600),
        f"{tmp_path}/same": File(b"same"),
        f"{tmp_path}/missing": File(b""),
    }
    text = printed(tmp_path, asked(wanted))
    found = parse(text.splitlines())
    shown = {
        path.removeprefix(f"{tmp_path}/"): file.content.decode().splitlines() for path, file in found.files.items()
    }
    assert shown == {
        "caddy/Caddyfile": ["edited"],
        "env/a.env": env_lines(["A='x'", "B='geheim'", "QWxhZGRpbg=="]),
        "same": [],
    }
    modes = {"secrets": "755", "secrets/livekit.env": "640", "livekit/keys.yaml": "600"}
    assert found.secrets == {f"{tmp_path}/{path}": f"{mode} {os.getuid()}" for path, mode in modes.items()}
    assert f"{tmp_path}/odd?name" in found.others
    assert not [path for path in found.others if "/secrets/" in path]
    for form in ("geheim", base64.b64encode(b"geheim").decode(), "QWxhZGRpbg"):
        assert form not in text
    assert found.now > 0
