"""A .env file: read to the letter, or refused by line, without a word of a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicestack.secrets.dotenv import Entry, parse
from voicestack.secrets.run import SECRETS

NAMES = sorted(SECRETS)
VALUES = st.from_regex(r"[A-Za-z0-9+/_.-]{8,60}={0,2}", fullmatch=True)
COMMENTS = st.from_regex(r"#[a-z ]{0,20}[a-z]", fullmatch=True)


def problems(text: str) -> list[str]:
    return parse(text.encode(), NAMES)[1]


@st.composite
def files(draw: st.DrawFn) -> tuple[list[str], list[Entry]]:
    """The lines of a good file, and what they give."""
    lines, entries = [], []
    for name in draw(st.permutations(NAMES))[: draw(st.integers(1, len(NAMES)))]:
        lines += draw(st.lists(COMMENTS | st.just(""), max_size=2))
        value = draw(VALUES)
        lines.append(f"{name}={value}")
        entries.append(Entry(name, value, len(lines)))
    return lines, entries


def test_finding_15_two_keys_merged_into_one_line_are_named_with_their_line() -> None:
    """The line that broke a real bring-up, word for word but for the token."""
    token = "hf_" + "x" * 34
    text = f"# voice\n\nLIVEKIT_API_KEY=APIx\n\nDEEPGRAM_API_KEY=HF_TOKEN={token}\n"
    said = "DEEPGRAM_API_KEY= is followed by HF_TOKEN= on the same line: two lines were merged; put each on its own"
    assert problems(text) == [f"line 5: {said}"]


@given(files())
def test_a_good_file_is_read_to_the_letter(file: tuple[list[str], list[Entry]]) -> None:
    lines, entries = file
    assert parse("".join(f"{line}\n" for line in lines).encode(), NAMES) == (entries, [])


@given(files(), st.data())
def test_no_line_break_can_be_lost_without_a_word(file: tuple[list[str], list[Entry]], data: st.DataObject) -> None:
    lines, entries = file
    lost = data.draw(st.sampled_from(range(len(lines))))
    text = "".join(line if number == lost else f"{line}\n" for number, line in enumerate(lines))
    read, wrong = parse(text.encode(), NAMES)
    if not wrong:
        assert [entry[:2] for entry in read] == [entry[:2] for entry in entries]


@given(files(), st.data())
def test_no_value_can_be_broken_in_two_without_a_word(file: tuple[list[str], list[Entry]], data: st.DataObject) -> None:
    """A terminal's line wrap that becomes a line break."""
    lines, entries = file
    entry = data.draw(st.sampled_from(entries))
    at = data.draw(st.integers(1, len(entry.value) - 1))
    lines[entry.line - 1] = f"{entry.name}={entry.value[:at]}\n{entry.value[at:]}"
    assert problems("".join(f"{line}\n" for line in lines))


PLANTED = "s3cr3tVALUE+of/manyLETTERS"
PIECES = st.text(st.characters(max_codepoint=300), max_size=5) | st.sampled_from(
    [*NAMES, "DEEPGRAM_API_KEY", PLANTED, "=", "\n", "\r\n", "'", '"', "#", " ", "export "]
)


@given(st.lists(PIECES, max_size=12))
def test_no_message_repeats_a_value_wherever_it_stands(pieces: list[str]) -> None:
    assert PLANTED not in " ".join(problems("".join([*pieces, PLANTED])))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("HF_TOKEN=hf_abcdefgh", "line 1: the last line does not end"),
        ("HF_TOKEN=hf_abcdefgh\nHF_TOKEN=hf_other123\n", "line 2: HF_TOKEN stands on line 1 already"),
        ("HF_TOKEN='hf_abcdefgh'\n", "line 1: HF_TOKEN: quotes would be part of the value"),
        ('HF_TOKEN="hf_abcdefgh"\n', "line 1: HF_TOKEN: quotes would be part of the value"),
        ("HF_TOKEN=hf_abcdefgh\r\n", "line 1: ends in a carriage return"),
        ("HF_TOKN=hf_abcdefgh\n", "line 1: HF_TOKN is not known; did you mean HF_TOKEN?"),
        ("AWS_ACCESS_KEY_ID=x\n", "line 1: AWS_ACCESS_KEY_ID is not known; did you mean AGENT_AWS_ACCESS_KEY_ID?"),
        ("DEEPGRAM_API_KEY=x\n", "line 1: DEEPGRAM_API_KEY is not known (known: "),
        ("export HF_TOKEN=hf_abcdefgh\n", "line 1: the name before = must be capitals"),
        ("HF_TOKEN =hf_abcdefgh\n", "line 1: the name before = must be capitals"),
        ("HF_TOKEN=hf_abcdefgh # mine\n", "line 1: HF_TOKEN: a blank, a comment behind the value"),
        ("HF_TOKEN=\n", "line 1: HF_TOKEN has no value"),
        ("HF_TOKEN=$OTHER\n", "line 1: HF_TOKEN: a blank, a comment behind the value, or a character"),
        ("\ufeffHF_TOKEN=hf_abcdefgh\n", "line 1: the name before = must be capitals"),
        ("\nHF_TOKEN=hf_abc\u2019\n", "line 2: HF_TOKEN: a blank, a comment behind the value"),
        ("hf_abcdefgh\n", "line 1: neither NAME=VALUE nor a comment"),
        ("HF_TOKEN=hf_abcLIVEKIT_API_KEY=APIx\n", "line 1: HF_TOKEN= is followed by LIVEKIT_API_KEY="),
        ("HF_TOKEN=LIVEKIT_API_KEY=\n", "line 1: HF_TOKEN= is followed by LIVEKIT_API_KEY="),
        ("HF_TOKEN=hf_abcdeFOO=bar\n", "line 1: HF_TOKEN= is followed by another NAME="),
        ("# my tokenHF_TOKEN=hf_abcdefgh\n", "line 1: a comment runs into HF_TOKEN="),
    ],
)
def test_each_mistake_is_named_with_its_line(text: str, said: str) -> None:
    assert [problem[: len(said)] for problem in problems(text)] == [said]


@pytest.mark.parametrize("value", ["s3cretVALUE", "ALLCAPSPIECE", "lower0piece"])
@pytest.mark.parametrize(
    "line",
    [
        "HF_TOKEN={}\r",
        "{}",
        "{}=",
        "{}==",
        "export HF_TOKEN={}",
        "HF_TOKEN=x{}=y",
        "HF_TOKEN={}HF_TOKEN={}",
        "DEEPGRAM_API_KEY={}",
        "LIVEKIT_API_KEY={}",
        "HF_TOKEN='{}'",
        'HF_TOKEN="{}"',
        "HF_TOKEN={} # mine",
        "HF_TOKEN=\u2019{}",
        "# {}HF_TOKEN={}",
    ],
)
def test_a_mistake_is_told_without_the_value(line: str, value: str) -> None:
    """A value that was broken in two may be a line of capitals, which looks like a name."""
    text = f"LIVEKIT_API_KEY=APIx\n{line.replace('{}', value)}\n"
    (problem,) = parse(text.encode(), NAMES)[1]
    assert problem.startswith("line 2: ")
    assert value not in problem


@pytest.mark.parametrize("padding", ["", "=", "=="])
def test_base64_may_end_in_padding_even_behind_capitals(padding: str) -> None:
    secret = f"{'s' * 40}ABC_DEF{padding}"
    entries, wrong = parse(f"LIVEKIT_API_SECRET={secret}\n".encode(), NAMES)
    assert (entries, wrong) == ([Entry("LIVEKIT_API_SECRET", secret, 1)], [])


def test_all_mistakes_are_told_at_once() -> None:
    assert len(problems("HF_TOKN=a\nHF_TOKEN='a'\n# fine\nnonsense\nLIVEKIT_API_KEY=")) == 5


def test_a_known_name_may_be_commented_out_in_any_language() -> None:
    assert parse("# für Prüfungen\n".encode(), NAMES) == ([], [])
    assert parse(b"# HF_TOKEN=hf_old\n#HF_TOKEN=hf_older\n\n", NAMES) == ([], [])
