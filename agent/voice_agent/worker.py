"""The framework's worker, with the two things it does not tell or do by itself.

It never says whether it is registered right now (its own HTTP server answers 200 all the time), and it
measures its load in CPU, of which one call's speech recognition takes all. Both hooks are private methods
of livekit-agents, whose version is locked; tests against a real LiveKit server notice if they move.
"""

from __future__ import annotations

import aiohttp  # type: ignore[import-not-found,unused-ignore]
from livekit.agents import AgentServer

from . import logs
from .session import entrypoint
from .settings import Settings

# LiveKit's `agents.target_load` default: at or above it the server sends nothing. The worker reports its
# sessions as a share of it, so that worker and server call it full at the same session.
FULL = 0.7

# One spare process: a call starts in a warm one and the next is made ready meanwhile (about a second). The
# default, one for each CPU, would hold three more of them on the 16 GiB host for calls that come minutes
# apart.
IDLE_PROCESSES = 1

# How long a job that outlived the drain gets to leave its room before it is killed.
JOB_CLOSE_SECONDS = 5.0


class VoiceWorker(AgentServer):  # type: ignore[misc,unused-ignore]
    """A worker that knows whether LiveKit has it, and is full by number of sessions."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            ws_url=settings.livekit_url,
            api_key=settings.livekit_api_key,
            api_secret=settings.livekit_api_secret,
            max_retry=settings.connect_retries,
            # The framework's HTTP server cannot be turned off and its 200 means little: out of the way, on
            # loopback.
            host="127.0.0.1",
            port=0,
            # None, not left out: otherwise a proxy variable of the host would carry the call's signalling.
            http_proxy=None,
            num_idle_processes=IDLE_PROCESSES,
            load_threshold=FULL,
            drain_timeout=settings.drain_seconds,
            shutdown_process_timeout=JOB_CLOSE_SECONDS,
            setup_fnc=logs.configure_job,
            preload_modules=["voice_agent.session"],
        )
        self._max_sessions = settings.max_sessions
        self._registered = False
        self.load_fnc = self._session_load
        self.rtc_session(entrypoint, agent_name=settings.agent_name)

    def sessions(self) -> int:
        """Calls running now."""
        return len(self.active_jobs)

    def registration_problem(self) -> str | None:
        """Say why LiveKit cannot send a call here now, or None."""
        if self.draining:
            return "draining"
        return None if self._registered else "not registered"

    def _share_of_full(self, sessions: int) -> float:
        return FULL * sessions / self._max_sessions

    def _session_load(self) -> float:
        return self._share_of_full(self.sessions())

    def _get_effective_load(self) -> float:
        # The framework guesses what an accepted, not yet started job will cost; with one idle process its
        # guess is "everything", and of two callers in the same moment one would be refused.
        return self._share_of_full(self.sessions() + self._reserved_slots)

    async def _run_ws(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        # Runs from LiveKit's answer to the registration until that connection ends.
        self._registered = True
        try:
            await super()._run_ws(ws)
        finally:
            self._registered = False
