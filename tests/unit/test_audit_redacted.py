"""What an audit shows of files: the host's script and the controller agree, and no value gets through."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicestack.audit import facts
from voicestack.audit.facts import asked, parse
from voicestack.audit.redacted import MASK, difference, env_lines, redact
from voicestack.remote import File, script_file
from voicestack.stack.render import environment_file

NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=6).filter(lambda text: text.strip() == text)


@given(st.dictionaries(NAMES, VALUES), st.dictionaries(NAMES, VALUES))
def test_no_value_of_an_env_file_is_in_a_diff(live: dict[str, str], wanted: dict[str, str]) -> None:
    shown = "\n".join(env_lines(environment_file(live).splitlines()))
    lines = difference("/opt/voice/env/x.env", shown.encode(), environment_file(wanted).encode())
    said = set("".join(lines[2:]))
    assert said <= set("+- @,0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_=?" + MASK)
    assert bool(lines) == (list(live.items()) != list(wanted.items()))


def test_the_variable_that_was_edited_is_named() -> None:
    wanted = {"A": "1", "B": "2"}
    shown = "\n".join(env_lines(environment_file({**wanted, "B": "sk-live"}).splitlines()))
    lines = difference("x.env", shown.encode(), environment_file(wanted).encode())
    assert lines[-2:] == (f"-B={MASK}", f"+B={MASK}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("node_ip: 203.0.113.7", "node_ip: [redacted]"),
        ("bind 127.0.0.1", "bind 127.0.0.1"),
        ("0.0.0.0:80", "0.0.0.0:80"),
        ("\temail operator@example.org", "\temail [redacted]"),
        ("  api_key: abc", "  api_key: [redacted]"),
        ("Authorization Bearer eyJhbGciOiJIUzI1NiJ9abcdef0123", "Authorization Bearer [redacted]"),
        ("at 12:30:15", "at 12:30:15"),
        ("peer 2001:db8::1 x", "peer [redacted] x"),
        ("reverse_proxy 127.0.0.1:7880", "reverse_proxy 127.0.0.1:7880"),
        ("image: voice-agent:17c38e847cc87e4c", "image: voice-agent:17c38e847cc87e4c"),
        ("--kv-cache-memory-bytes=1073741824", "--kv-cache-memory-bytes=1073741824"),
        ("max_tokens: 5", "max_tokens: 5"),
    ],
)
def test_what_is_masked(text: str, said: str) -> None:
    assert redact(text) == said


def test_the_script_reports_files_without_values_and_secrets_without_content(tmp_path: Path) -> None:
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
    command = script_file(facts.__file__, "state.sh", asked(wanted), str(tmp_path), str(tmp_path), "example.org")
    printed = subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout  # noqa: S602
    state = parse(printed.splitlines())
    assert state.files.keys() == wanted.keys() - {f"{tmp_path}/missing"}
    assert state.files[f"{tmp_path}/same"].content == b""
    assert state.files[f"{tmp_path}/caddy/Caddyfile"].content == b"edited\n"
    shown = state.files[f"{tmp_path}/env/a.env"].content
    assert shown.decode().splitlines() == env_lines(["A='x'", "B='geheim'", "QWxhZGRpbg=="])
    assert state.secrets == {
        str(tmp_path / "secrets"): f"755 {tmp_path.stat().st_uid}",
        str(tmp_path / "secrets/livekit.env"): f"640 {tmp_path.stat().st_uid}",
        str(tmp_path / "livekit/keys.yaml"): f"600 {tmp_path.stat().st_uid}",
    }
    assert f"{tmp_path}/odd?name" in state.others
    assert not [path for path in state.others if "/secrets/" in path]
    for form in ("geheim", base64.b64encode(b"geheim").decode(), "QWxhZGRpbg"):
        assert form not in printed
    assert state.now > 0
