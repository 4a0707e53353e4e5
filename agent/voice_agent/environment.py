"""Environment variables read one by one, with every mistake remembered. Nothing secret is ever repeated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

WHISPER_FILES = ("config.json", "model.bin", "tokenizer.json", "vocabulary.*")
# Llama Guard 3's hazard categories (model card of Llama-Guard-3-1B); S14 is the 8B model's
CATEGORIES = tuple(f"S{number}" for number in range(1, 14))

_JOINED_LINES = re.compile(r"^[A-Z][A-Z0-9_]{2,}=")


class SettingsError(Exception):
    """All mistakes of one environment."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Reader:
    """Reads typed values; a wrong one is noted in `problems` and yields a harmless placeholder."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def wrong(self, name: str, why: str) -> None:
        """Note a mistake in one variable."""
        self.problems.append(f"{name}: {why}")

    def check(self) -> None:
        """Raise `SettingsError` when there was a mistake."""
        if self.problems:
            raise SettingsError(self.problems)

    def text(self, name: str, default: str | None = None) -> str:
        """Any text; required when there is no default."""
        value = self._environment.get(name, "").strip()
        if _JOINED_LINES.match(value):
            # never print the value: the second half may be a secret
            self.wrong(name, "looks like a second NAME=value: two lines of the env file were joined")
            return ""
        if not value and default is None:
            self.wrong(name, "not set")
        return value or default or ""

    def url(self, name: str, schemes: tuple[str, ...], default: str | None = None) -> str:
        """An absolute URL without its trailing slash."""
        value = self.text(name, default)
        try:
            parts = urlsplit(value)
            usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if value and not usable:
            self.wrong(name, f"not a URL that starts with {' or '.join(f'{s}://' for s in schemes)}")
        return value.rstrip("/")

    def number(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number within bounds."""
        value = self.text(name, default=None if default is None else str(default))
        if not value:
            return low
        if not (value.isascii() and value.isdigit() and low <= int(value) <= high):
            self.wrong(name, f"not a whole number from {low} to {high}")
            return low
        return int(value)

    def share(self, name: str, default: float) -> float:
        """A number from 0 to 1."""
        value = self.text(name, default=str(default))
        if not re.fullmatch(r"0(\.\d+)?|1(\.0+)?", value):
            self.wrong(name, "not a number from 0 to 1")
            return default
        return float(value)

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """One of a few words."""
        value = self.text(name, default)
        if value not in choices:
            self.wrong(name, f"not one of {', '.join(choices)}")
            return default
        return value

    def flag(self, name: str, default: bool) -> bool:
        """`true` or `false`."""
        return self.choice(name, ("true", "false"), "true" if default else "false") == "true"

    def language(self, name: str) -> str:
        """A two-letter language code."""
        value = self.text(name)
        if value and not re.fullmatch(r"[a-z]{2}", value):
            self.wrong(name, "not a two-letter language code such as de")
        return value

    def categories(self, name: str) -> frozenset[str]:
        """Llama Guard's categories, separated by commas or blanks; none named means all."""
        named = frozenset(self.text(name, default="").replace(",", " ").split())
        if unknown := sorted(named.difference(CATEGORIES)):
            self.wrong(name, f"unknown {', '.join(unknown)}; there are {CATEGORIES[0]} to {CATEGORIES[-1]}")
        return named or frozenset(CATEGORIES)

    def whisper(self, name: str) -> Path:
        """Check the weights' directory; faster-whisper takes a missing one for something to download."""
        path = Path(self.text(name))
        if path == Path():
            return path
        if not path.is_dir():
            self.wrong(name, f"{path} is not a directory (weights are mounted, never downloaded)")
        elif missing := [file for file in WHISPER_FILES if not any(path.glob(file))]:
            self.wrong(name, f"{path} lacks {', '.join(missing)}")
        return path

    def refuse(self, names: Mapping[str, str]) -> None:
        """Note every variable of `names` that is set; the values say why it must not be."""
        for name, why in names.items():
            if self._environment.get(name):
                self.wrong(name, f"must not be set: {why}")
