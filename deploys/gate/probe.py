"""The probes, in a throw-away container of the agent's image: the request on stdin, events on stdout, line by line."""

from __future__ import annotations

import asyncio
import sys

from deploys.gate.call import calling
from deploys.gate.checking import BrokenError, Checker
from deploys.gate.conversation import compare, converse
from deploys.gate.reachable import reachable
from deploys.gate.request import Request


async def run(request: Request) -> None:
    """Probe 1, and probe 3 in the same call: one of the host's sessions is taken, not two."""
    try:
        async with calling(request) as call:
            await reachable(call, request, Checker("reachable", request.health_url))
            if "conversation" not in request.probes:
                return
            checker = Checker("conversation", request.health_url)
            replies = await converse(call, request, checker)
        await compare(replies, request, checker)
    except BrokenError:
        return


if __name__ == "__main__":
    asyncio.run(run(Request.from_json(sys.stdin.readline())))
