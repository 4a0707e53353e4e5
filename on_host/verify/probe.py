"""The probes, in a throw-away container of the agent's image: the request on stdin, events on stdout, line by line."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from typing import NoReturn

from on_host.verify.call import calling
from on_host.verify.checking import BrokenError, Checker
from on_host.verify.conversation import compare, converse
from on_host.verify.reachable import reachable
from on_host.verify.request import Request


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


def main() -> NoReturn:
    """Run, and end without the interpreter's own end.

    A thread of LiveKit's that calls into Python just then is unwound through Rust, and that aborts the whole program:
    3 of 60 calls that had gone well ended so (docs/decisions/gate.md).
    """
    status = 0
    try:
        asyncio.run(run(Request.from_json(sys.stdin.readline())))
    except Exception:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
