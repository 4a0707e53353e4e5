"""How much of a text was heard. Pure."""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher


def words(text: str) -> list[str]:
    """The words of a text without case, punctuation and apostrophes; letters keep their accents."""
    plain = unicodedata.normalize("NFC", text).casefold()
    return re.findall(r"[^\W_]+", re.sub(r"['\u2019]", "", plain))


def overlap(said: str, heard: str) -> float:
    """The share of words that both texts have, in the same order: 1.0 for the same words, 0.0 without any.

    Words that only one of the two has count against it on either side, so neither a reply that was cut short nor
    one that holds the expected words among many others passes for the same. An empty text overlaps with nothing.
    """
    one, other = words(said), words(heard)
    if not one or not other:
        return 0.0
    common = sum(block.size for block in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks())
    return 2 * common / (len(one) + len(other))
