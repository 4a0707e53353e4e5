"""Cuts a stream of text into sentences as early as it is safe to. Pure.

The guard judges sentences and speech is made of sentences, so a cut in the wrong place (after "z. B.", in "3. Mai")
is heard as a pause and judged without its context, and a late one is heard as silence.
"""

from __future__ import annotations

import re

# Longer than this without an end, a text is cut at the last comma or blank: the caller should not wait for the
# end of a list, and Voxtral's context is bounded.
LONGEST = 300

# Ends of a word that end no sentence, lower case, without the dot. Ones that also end sentences ("usw.", "etc.")
# are in: cutting late costs a little time, cutting wrong is heard.
GERMAN = """
abb abs allg bes betr bspw bzgl bzw ca dipl dr eigtl einschl entspr etc evtl exkl frl geb gem ggf hr hrsg inkl insb jh
kap lt max med min mio mrd nachm nr od pos prof resp sek sog st std str stk tägl tbl tel tgl usw vgl vorm vs wg zb zzgl
"""
ENGLISH = "approx appt dept e.g eg i.e ie jr mr mrs ms mt sr viz"
ABBREVIATIONS = frozenset(f"{GERMAN} {ENGLISH}".split())

# An end mark, what may close around it, and the blank that must follow.
_END = re.compile(r"(?P<mark>[.!?…]+)[\"'»“”’)\]]*\s+(?=\S)|\n+\s*")
# The word an end mark stands after: a dot inside it belongs to it ("e.g").
_WORD = re.compile(r"[^\s(\[\"'»„“”]+$")


class Splitter:
    """Takes text in pieces of any size and gives back whole sentences."""

    def __init__(self) -> None:
        self._rest = ""

    def push(self, text: str) -> list[str]:
        """Add text; return the sentences that are complete now."""
        self._rest += text
        sentences = []
        while (end := _first_end(self._rest)) is not None:
            sentences.append(self._rest[:end].strip())
            self._rest = self._rest[end:]
        return [sentence for sentence in sentences if sentence]

    def rest(self) -> list[str]:
        """The last sentence, when the text is over."""
        last, self._rest = self._rest.strip(), ""
        return [last] if last else []


def _first_end(text: str) -> int | None:
    for match in _END.finditer(text):
        if match["mark"] is None or not _goes_on(text, match):
            return match.end()
    return _emergency_cut(text) if len(text) > LONGEST else None


def _goes_on(text: str, match: re.Match[str]) -> bool:
    """Whether the dot at `match` ends a word and not its sentence."""
    if match["mark"] != ".":
        return False
    word = _WORD.search(text[: match.start()])
    before = word[0].lower() if word else ""
    following = text[match.end()]
    return (
        following.islower()
        or before in ABBREVIATIONS
        or before.rsplit(".", 1)[-1] in ABBREVIATIONS
        or bool(re.fullmatch(r"\w|\d{1,2}|(\w\.)+\w", before))
    )


def _emergency_cut(text: str) -> int:
    for mark in (", ", "; ", " "):
        if (at := text.rfind(mark, 0, LONGEST)) > 0:
            return at + len(mark)
    return LONGEST
