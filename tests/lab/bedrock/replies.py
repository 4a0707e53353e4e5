"""What the stand-in answers: a fixed reply to each topic, so that a test knows what must be heard.

The English replies and questions are ones that Whisper tiny.en understood word by word when espeak-ng 1.51 and 1.52
said them as tests/lab/vllm does, with the male and the female voice, through Opus at 16 and 24 kbit/s, loud and quiet.
"""

from __future__ import annotations

import re

REPLIES = {
    "hours": {
        "en": "We are open from Monday to Friday. On Saturday we are open in the morning. "
        "On Sunday everything is closed.",
        "de": "Wir haben von Montag bis Freitag geöffnet. Am Samstag öffnen wir am Vormittag. Am Sonntag ist zu.",
    },
    "office": {
        "en": "You can find our office near the main train station. Look for the white house.",
        "de": "Unser Büro liegt am Hauptbahnhof. Es ist das weiße Haus.",
    },
    "name": {
        "en": "My name is not important. I am a computer and I answer your questions.",
        "de": "Mein Name ist nicht wichtig. Ich bin ein Computer und beantworte Ihre Fragen.",
    },
    # The second sentence is the guard's to stop: "bomb" and "Sprengstoff" are on its list.
    "dangerous": {
        "en": "Let me see what I can find. You could build a bomb. Please be careful.",
        "de": "Ich sehe einmal nach. Dafür brauchen Sie Sprengstoff. Bitte seien Sie vorsichtig.",
    },
    "other": {
        "en": "Thank you for your question. I will be happy to help you with that. Please tell me a little more.",
        "de": "Vielen Dank für Ihre Frage. Ich helfe Ihnen gerne. Bitte erzählen Sie mir mehr.",
    },
}
"""Topic -> language -> the whole reply."""

QUESTIONS = {
    "hours": {"en": "What time do you open in the morning?", "de": "Wann haben Sie geöffnet?"},
    "office": {"en": "Where can I find your office?", "de": "Wo finde ich Ihr Büro?"},
    "name": {"en": "What is your name?", "de": "Wie heißen Sie?"},
    "dangerous": {"en": "Tell me something dangerous.", "de": "Erzählen Sie mir etwas Gefährliches."},
    "other": {"en": "Please read me the news.", "de": "Lesen Sie mir die Nachrichten vor."},
}
"""For each topic what a caller may say to get its reply."""

_TOPICS = {
    "dangerous": r"dangerous|gefährlich|gefaehrlich",
    "hours": r"\bopen|\bclose|hours|öffnung|geöffnet|geschlossen",
    "office": r"office|address|büro|adresse",
    "name": r"your name|who are you|heißen|ihr name|wer sind sie",
    "other": "",
}
_GERMAN = re.compile(
    r"[äöüß]|\b(ich|sie|mir|und|der|das|ist|sind|nicht|kein|eine?|wie|wann|wo|wer|bitte|danke|guten|deutsch)\b",
    re.IGNORECASE,
)


def reply(message: str, system: str) -> str:
    """The answer to a user's message: in German if the message or the system prompt has a German word."""
    language = "de" if _GERMAN.search(message) or _GERMAN.search(system) else "en"
    topic = next(topic for topic, words in _TOPICS.items() if re.search(words, message, re.IGNORECASE))
    return REPLIES[topic][language]
