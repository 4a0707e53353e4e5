"""The way to the two engines, Voxtral and the guard: HTTP to vLLM's API servers, which are uvicorn's."""

from __future__ import annotations

import aiohttp  # type: ignore[import-not-found,unused-ignore]

# uvicorn closes a connection that was idle for 5 s (vLLM's default, VLLM_HTTP_TIMEOUT_KEEP_ALIVE). A request that
# crosses the close is lost, and nobody sends a POST again: of 150 judgements asked for after 5.00 s of quiet aiohttp's
# own 15 s lost 9, which the caller heard as refusals, and 4 s none (measured, real vLLM 0.18).
KEEP_ALIVE_SECONDS = 4.0


def client(seconds: float | None = None) -> aiohttp.ClientSession:
    """A session that lets go of idle connections before the engines do; no request takes longer than `seconds`."""
    connector = aiohttp.TCPConnector(keepalive_timeout=KEEP_ALIVE_SECONDS)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=seconds))
