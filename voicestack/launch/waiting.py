"""Waiting for AWS, with what it says meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable

from voicestack.launch import calls
from voicestack.launch.calls import LaunchError
from voicestack.launch.parts import Say

REMINDER_S = 30
"""The same state is said again after so long."""


def until(what: str, state: Callable[[], str], wanted: str, *, limit_s: int, say: Say) -> None:
    """Return when `state()` is `wanted`; say its other values when they change, and every REMINDER_S.

    Raises:
        LaunchError: it is not after `limit_s` seconds.
    """
    begun = said_at = time.monotonic()
    said = ""
    while (now := state()) != wanted:
        passed = time.monotonic() - begun
        if passed > limit_s:
            raise LaunchError(f"{what} is still {now} after {limit_s} s, not {wanted}; look at it, then run this again")
        if now != said or time.monotonic() - said_at >= REMINDER_S:
            say(f"    {what} is {now} ({passed:.0f} s)")
            said, said_at = now, time.monotonic()
        time.sleep(calls.PAUSE_S)
    say(f"    {what} is {wanted}")
