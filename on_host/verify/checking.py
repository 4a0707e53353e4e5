"""Checks that report themselves while they run; the first that fails ends its probe."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp  # type: ignore[import-not-found,unused-ignore]

from on_host.verify.causes import health_problems

HEALTH_S = 5


class FailureError(Exception):
    """A check failed; `leg` overrides the one that was being checked."""

    def __init__(self, detail: str, cause: str = "", leg: str = "") -> None:
        super().__init__(detail)
        self.detail, self.cause, self.leg = detail, cause, leg


class BrokenError(Exception):
    """A check failed and was reported; what depends on it has no use."""


def emit(event: str, **values: Any) -> None:
    """Tell the host, which tells people and machines."""
    print(json.dumps({"event": event, **values}, ensure_ascii=False), flush=True)


class Result:
    """What a check found, set inside its `async with`."""

    detail = ""


class Checker:
    """The checks of one probe."""

    def __init__(self, probe: str, health_url: str) -> None:
        self._probe, self._health_url = probe, health_url

    @contextlib.asynccontextmanager
    async def check(self, leg: str, name: str, seconds: float = 30, late: str = "") -> AsyncIterator[Result]:
        """Run the body as one check of `leg`, for at most so many seconds; `late` is why it may take longer.

        Raises:
            BrokenError: after the failure was reported.
        """
        result = Result()
        try:
            async with asyncio.timeout(seconds):
                yield result
        except FailureError as failure:
            problem = failure
        except TimeoutError:
            problem = FailureError(f"not within {seconds:g} s", late)
        except Exception as error:  # whatever a library raises is a finding of this check
            problem = FailureError(f"{type(error).__name__}: {harmless(str(error))}")
        else:
            emit("check", probe=self._probe, name=name, leg=leg, passed=True, detail=result.detail)
            return
        leg = problem.leg or leg
        cause = await self._from_health(leg) or problem.cause
        emit("check", probe=self._probe, name=name, leg=leg, passed=False, detail=problem.detail, cause=cause)
        raise BrokenError

    async def _from_health(self, leg: str) -> str:
        """What the agent's health says about this leg; nothing about those it does not see."""
        if leg in ("caddy", "livekit"):
            return ""
        try:
            parts = await agent_health(self._health_url)
        except (aiohttp.ClientError, TimeoutError):
            return "the agent's health endpoint does not answer" if leg == "worker" else ""
        except (ValueError, LookupError, TypeError):  # an agent of the owner's, which need not name its parts
            return ""
        found = health_problems(parts).get(leg, "")
        return f"the agent's health says {found}" if found else ""


async def agent_health(url: str) -> dict[str, str]:
    """The parts of the agent's health."""
    timeout = aiohttp.ClientTimeout(total=HEALTH_S)
    async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as answer:
        return dict((await answer.json(content_type=None))["parts"])


def harmless(text: str) -> str:
    """The first line of an error without the tokens that addresses may carry."""
    line = text.strip().partition("\n")[0]
    return re.sub(r"(access_token=|eyJ)[^&\s\"')]+", "[token]", line)[:300]
