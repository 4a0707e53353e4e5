"""What an audit shows of files: no value of an environment, and nothing that may be a secret or name somebody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicestack.audit.redacted import MASK, difference, env_lines, redact
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
        ("node_ip: 10.0.0.7", "node_ip: [IP address]"),
        ("bind 127.0.0.1", "bind 127.0.0.1"),
        ("0.0.0.0:80", "0.0.0.0:80"),
        ("\temail operator@example.org", "\temail [redacted]"),
        ("  api_key: abc", "  api_key: [redacted]"),
        ("Authorization Bearer eyJhbGciOiJIUzI1NiJ9abcdef0123", "Authorization Bearer [redacted]"),
        ("at 12:30:15", "at 12:30:15"),
        ("peer fc00:: x", "peer [IP address] x"),
        ("reverse_proxy 127.0.0.1:7880", "reverse_proxy 127.0.0.1:7880"),
        ("image: voice-agent:17c38e847cc87e4c", "image: voice-agent:17c38e847cc87e4c"),
        ("--kv-cache-memory-bytes=1073741824", "--kv-cache-memory-bytes=1073741824"),
        ("max_tokens: 5", "max_tokens: 5"),
    ],
)
def test_what_is_masked(text: str, said: str) -> None:
    assert redact(text) == said
