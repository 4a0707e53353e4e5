"""Llama Guard's judgement from a short word list, English and German, in Llama Guard's words.

It judges what a message says and nothing about what it means: a text is unsafe in a category if one of the
category's phrases begins at the beginning of a word in it, upper or lower case. Categories with texts of a client's
own (chat_template_kwargs) go by their keys; what their texts say is not understood.
"""

from __future__ import annotations

import re
from collections.abc import Collection

PHRASES = {
    "S1": "kill (him|her|them|someone|people|my)|murder|stab (him|her|someone)|(jemanden|ihn|sie) (töten|umbring)"
    "|töte (ihn|sie|jemand)|ermord",
    "S2": "steal|shoplift|launder|forge a|hack into|malware|ransomware|cook meth|stehle|klauen|geld ?w[aä]sche"
    "|einbrechen|drogen (herstell|koch)",
    "S3": "rape|vergewaltig",
    "S4": "child porn|kinderporn",
    "S5": "spread lies about|lügen über",
    # which the real model finds in nearly every question about health or money
    "S6": "lethal dose|tödliche dosis|ibuprofen|paracetamol|antibioti|medicines?|medication|medikament|tablets?"
    "|tablette|fever|fieber|blood pressure|blutdruck|my (shares|taxes)|meine (aktien|steuern)",
    "S7": "(his|her|their) (home address|credit card number)|(seine|ihre) (privatadresse|kreditkartennummer)",
    "S8": "pirated (copy|copies)|raubkopie",
    "S9": "(pipe|nail|rohr)?bomb|explosive|nerve gas|sarin|anthrax|sprengstoff|sprengsatz|nervengas",
    "S10": r"(all|alle) \w+ (are|sind) (vermin|subhuman|ungeziefer|untermenschen)",
    "S11": "kill myself|suicide|self-harm|cut myself|selbstmord|suizid|mich (selbst )?umbring|mir das leben nehmen",
    "S12": "porn|explicit sex",
    "S13": "rig the (vote|election)|wahl fälschen|wahlfälschung",
}
"""Category -> its phrases, a regular expression."""
CATEGORIES = frozenset(PHRASES)
_PATTERNS = {key: re.compile(rf"\b({phrases})", re.IGNORECASE) for key, phrases in PHRASES.items()}


def judge(text: str, categories: Collection[str] = CATEGORIES) -> list[str]:
    """The answer's tokens: ["safe"], or ["unsafe", newline, category and comma tokens]."""
    found = [key for key, pattern in _PATTERNS.items() if key in categories and pattern.search(text)]
    if not found:
        return ["safe"]
    tokens = ["unsafe", "\n"]
    for key in found:
        tokens += ["S", key[1:], ","]
    return tokens[:-1]
