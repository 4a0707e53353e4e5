"""Llama Guard through vLLM: what it is asked, what it answers, and that everything else counts as unsafe.

The last message of a conversation is the one that is judged: the caller's when the messages are odd in number, the
model's when they are even (the model's chat template). The answer is `safe`, or `unsafe` and a line of categories.
Nothing here, errors included, repeats what is judged.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp  # type: ignore[import-not-found,unused-ignore]

from .environment import CATEGORIES
from .settings import Settings

Direction = Literal["input", "output"]

# `unsafe`, a newline and all thirteen categories with their commas; `safe` is one token
MAX_TOKENS = 40
_ANSWER = re.compile(r"\s*(?:(?P<safe>safe)|unsafe\s*(?P<categories>S\d+(?:\s*,\s*S\d+)*)?)\s*")


@dataclass(frozen=True)
class Verdict:
    """What the guard said: `word` is safe, unsafe, deadline or error; everything but safe is treated as unsafe."""

    word: Literal["safe", "unsafe", "deadline", "error"]
    categories: tuple[str, ...] = ()

    @property
    def safe(self) -> bool:
        """Whether the text may be spoken."""
        return self.word == "safe"


class Guard:
    """One Llama Guard, with the categories that count and the time it has."""

    def __init__(self, settings: Settings, http: aiohttp.ClientSession) -> None:
        self._endpoint = f"{settings.guard_url}/v1/chat/completions"
        self._model = settings.guard_model
        self._categories = settings.guard_categories
        self._seconds = settings.guard_deadline_ms / 1000
        self._http = http

    async def judge_input(self, caller: str) -> Verdict:
        """Judge what the caller said."""
        return await self._judge([{"role": "user", "content": caller}])

    async def judge_output(self, caller: str, reply: str) -> Verdict:
        """Judge the reply so far, in the light of what the caller said."""
        return await self._judge([{"role": "user", "content": caller}, {"role": "assistant", "content": reply}])

    async def _judge(self, messages: list[dict[str, str]]) -> Verdict:
        try:
            # the deadline covers everything, connecting included
            async with asyncio.timeout(self._seconds):
                return self._verdict(await self._ask(messages))
        except TimeoutError:
            return Verdict("deadline")
        except Exception:
            # whatever it was: no verdict is no leave to speak; its text may quote what was judged
            return Verdict("error")

    async def _ask(self, messages: list[dict[str, str]]) -> str:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": messages,
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
        }
        if excluded := [category for category in CATEGORIES if category not in self._categories]:
            body["chat_template_kwargs"] = {"excluded_category_keys": excluded}
        async with self._http.post(self._endpoint, json=body) as response:
            if response.status != 200:
                raise ValueError(f"guard answered {response.status}")
            answer = (await response.json())["choices"][0]["message"]["content"]
        if not isinstance(answer, str):
            raise TypeError("guard answered no text")
        return answer

    def _verdict(self, answer: str) -> Verdict:
        match = _ANSWER.fullmatch(answer)
        if match is None:
            return Verdict("error")
        if match["safe"]:
            return Verdict("safe")
        named = tuple(re.findall(r"S\d+", match["categories"] or ""))
        # A category that is known and not configured does not count; no category, or an unknown one, does.
        counting = tuple(name for name in named if name in self._categories or name not in CATEGORIES)
        return Verdict("unsafe", counting) if counting or not named else Verdict("safe")
