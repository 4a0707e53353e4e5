from __future__ import annotations

import pytest
from voice_agent.sentences import LONGEST, Splitter

SENTENCES = [
    ["Guten Tag.", "Nehmen Sie z. B. eine Tablette.", "Am 3. Mai um 14.30 Uhr?", "Ja!"],
    ["Dr. Müller kommt ca. um 5 Uhr, d. h. bald.", "Bis dann."],
    ["Das kostet 3.5 Euro usw. und mehr.", "Im 19. Jahrhundert war es 2024.", "Dann nicht."],
    ["He said no.", "Mr. Smith, e.g. the doctor, lives here.", "Really?!", "Yes..."],
    ['"Is it so?"', "(It is.)", "Good."],
    ["Eins", "Zwei", "Drei"],
]


@pytest.mark.parametrize("sentences", SENTENCES)
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_cuts_where_sentences_end(sentences: list[str], size: int) -> None:
    glue = "\n" if sentences[0] == "Eins" else " "
    text = glue.join(sentences)
    splitter = Splitter()
    found = [sentence for start in range(0, len(text), size) for sentence in splitter.push(text[start : start + size])]
    assert found + splitter.rest() == sentences


def test_does_not_wait_for_more_than_the_next_word() -> None:
    splitter = Splitter()
    assert splitter.push("Guten Tag. ") == []
    assert splitter.push("W") == ["Guten Tag."]


def test_a_text_without_an_end_is_cut_all_the_same() -> None:
    splitter = Splitter()
    pieces = splitter.push("und immer so weiter, " * 100)
    assert pieces
    assert all(len(piece) <= LONGEST for piece in pieces)
    assert " ".join(pieces + splitter.rest()) == ("und immer so weiter, " * 100).strip()


def test_nothing_in_nothing_out() -> None:
    splitter = Splitter()
    assert splitter.push(" \n ") == []
    assert splitter.rest() == []
