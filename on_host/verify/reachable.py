"""Probe 1: callers' browsers can reach LiveKit through Caddy, and a dispatch brings the agent."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from typing import Any

import aiohttp  # type: ignore[import-not-found,unused-ignore]

from on_host.verify.call import Call, token
from on_host.verify.causes import certificate_cause, http_cause
from on_host.verify.checking import Checker, FailureError, emit
from on_host.verify.request import Request

HANDSHAKE_S = 10
DISPATCH_S = 30
"""A warm worker needs a second; one that has just registered may still be making its first process ready."""

NO_MEDIA = (
    "signalling works and media does not: do the firewall and the security group let the host reach LiveKit's UDP "
    "range and TCP port on its own public address?"
)

DAYS_THAT_WORRY = 14
WRONG_SECRET = "a-secret-that-no-livekit-was-ever-given"  # noqa: S105 - that is the point


async def reachable(call: Call, request: Request, checker: Checker) -> None:
    """Certificate, signalling, refusal, dispatch; the call stays joined."""
    own_key = os.environ["LIVEKIT_API_KEY"]
    async with checker.check("caddy", "certificate") as result:
        days, result.detail = await asyncio.to_thread(certificate, request.domain)
    if days < DAYS_THAT_WORRY and not request.own_authority:
        emit("warning", text=f"the certificate ends in {days} days: Caddy renews 30 days before; its log says why not")
    async with checker.check("livekit", "a token of this host's key pair") as result:
        status = await validate(request, token(call.name, request))
        if status != 200:
            raise FailureError(f"answered with {status}", http_cause(status))
        result.detail = "accepted"
    async with checker.check("livekit", "a token signed with another secret") as result:
        result.detail = await refused(request, own_key, WRONG_SECRET)
    for pair in request.revoked:
        async with checker.check("livekit", "tokens of the pair that was replaced") as result:
            for key in (pair.key, own_key):
                result.detail = await refused(request, key, pair.secret)
    async with checker.check("livekit", "joining a room over wss", late=NO_MEDIA) as result:
        started = time.monotonic()
        await call.join()
        result.detail = f"in {time.monotonic() - started:.1f} s"
    async with checker.check("worker", "a dispatch reaches the agent", DISPATCH_S) as result:
        started = time.monotonic()
        await call.agent_joined()
        kind = f"explicit, {request.agent_name}" if request.agent_name else "automatic"
        result.detail = f"it joined after {time.monotonic() - started:.1f} s ({kind})"


def certificate(domain: str) -> tuple[int, str]:
    """Days left and a description of what port 443 of that name shows, after a full verification.

    Raises:
        FailureError: with the likely cause, if it does not hold.
    """
    try:
        with (
            socket.create_connection((domain, 443), HANDSHAKE_S) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=domain) as secure,
        ):
            shown: Any = secure.getpeercert()
            version = secure.version()
    except OSError as error:
        problem = f"{error}"
        raise FailureError(problem, certificate_cause(problem)) from error
    left_s = ssl.cert_time_to_seconds(shown["notAfter"]) - time.time()
    days = int(left_s // 86400)
    left = f"{days} days" if days else f"{left_s // 3600:.0f} hours"
    issuer = {key: value for relation in shown["issuer"] for key, value in relation}
    return days, f"for {domain} by {issuer.get('commonName', 'an unnamed authority')}, {left} left, {version}"


async def validate(request: Request, jwt: str) -> int:
    """The status of LiveKit's own answer to a token, asked through Caddy."""
    timeout = aiohttp.ClientTimeout(total=HANDSHAKE_S)
    headers = {"Authorization": f"Bearer {jwt}"}
    url = f"https://{request.domain}/rtc/validate"
    async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url, headers=headers) as answer:
        return int(answer.status)


async def refused(request: Request, key: str, secret: str) -> str:
    """That LiveKit refuses tokens which this secret signed."""
    status = await validate(request, token("voice-gate-refused", request, key=key, secret=secret))
    if status != 401:
        raise FailureError(f"answered with {status} instead of 401", "anyone could join: is this LiveKit at all?")
    return "refused (401)"
