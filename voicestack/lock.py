"""One run at a time on a host, and a record there of each: who, since when, from where, which commit, how it ended.

The lock is a program on the host that lives as long as the run's connection (lock.sh). So there is no stale lock to
be stolen: a controller that died, or a host that rebooted, has let go of it.
"""

from __future__ import annotations

import getpass
import json
import re
import socket
import sys
from typing import Any

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State

from voicestack.boot import await_next_boot
from voicestack.git import head
from voicestack.pyinfra_insides import begin_program, operations
from voicestack.remote import script_file

HELD = "held"
BUSY = 75
"""lock.sh's exit status when another run has the lock (sysexits' EX_TEMPFAIL)."""
REBOOTING = 76
"""Its exit status when the host is about to reboot."""

DEPLOY = re.compile(r"(?:^|/)deploys/[^/]+\.py$")
"""A word of pyinfra's that names a deploy."""


class LockedError(PyinfraError):
    """Another run is at work on the host; the message says whose."""


class RebootingError(LockedError):
    """The host is about to reboot; the message is its boot's id."""


class Lock:
    """One host's lock, as this run has it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._stdin: Any = None
        self._process = ""

    def take(self) -> None:
        """Have the lock, or say who has it.

        Raises:
            LockedError: another run has it.
            RebootingError: the host is about to reboot.
        """
        host = self._host
        script = StringCommand(script_file(__file__, "lock.sh", run(), self._process))
        self._stdin, stdout, stderr = begin_program(host, script)
        first, _, process = stdout.readline().strip().partition(" ")
        if first == HELD:
            self._process = process
            return
        words = stderr.read().decode(errors="replace").strip()
        status = stdout.channel.recv_exit_status()
        if status == REBOOTING:
            raise RebootingError(words)
        if status == BUSY:
            raise LockedError(f"{host.name}: {busy(words)}")
        raise LockedError(f"{host.name}: the lock of the host cannot be taken: {words}")

    def pause(self) -> None:
        """Let go of it, because the host reboots or is connected anew; the record is made after it was taken again."""
        self._say("pause")
        self._stdin.close()

    def resume(self) -> None:
        """Have it again, on the connection that the host has now.

        Raises:
            LockedError: another run was faster.
        """
        self.take()
        self._say("begun")

    def began(self) -> None:
        """The first operation begins; every further call says the same again."""
        self._say("begun")

    def ended(self, outcome: str) -> None:
        """How the run ended; the last word counts."""
        self._say(outcome)

    def _say(self, line: str) -> None:
        try:
            self._stdin.write(f"{line}\n")
            self._stdin.flush()
        except OSError:
            return  # the connection is gone, and lock.sh with it: it has recorded that the run was cut off


class Recorder(BaseStateCallback):
    """Tells the locks of a run how it goes."""

    def __init__(self) -> None:
        self.locks: dict[str, Lock] = {}  # by the host's name: deploys see a stand-in of the host

    def operation_host_start(self, state: State, host: Host, op_hash: str) -> None:  # type: ignore[override]
        """The host begins an operation."""
        if host.name in self.locks and op_hash in operations(state, host):
            self.locks[host.name].began()

    def operation_host_success(self, state: State, host: Host, op_hash: str, retry_count: int = 0) -> None:  # type: ignore[override]
        """It ended well."""
        if host.name in self.locks and op_hash == list(operations(state, host))[-1]:
            self.locks[host.name].ended("done")

    def operation_host_error(  # type: ignore[override]
        self, state: State, host: Host, op_hash: str, retry_count: int = 0, max_retries: int = 0
    ) -> None:
        """It failed, and so did the run."""
        if host.name in self.locks:
            self.locks[host.name].ended(f"failed: {', '.join(state.get_op_meta(op_hash).names)}")

    def operation_end(self, state: State, op_hash: str) -> None:  # type: ignore[override]
        """Only now does pyinfra know whether the operation changed something; without this step it says "done"."""
        for host in state.active_hosts:
            its = operations(state, host)
            if (lock := self.locks.get(host.name)) and its and op_hash == list(its)[-1]:
                changed = sum(each.did_change() for each in its.values())
                lock.ended(f"done: {changed} of {len(its)} operations changed something")


def hold(host: Host) -> None:
    """Keep every other run off this host until this one ends; first thing in a deploy that changes something.

    A host that is about to reboot, because a run before was ended just then, is waited for.

    Raises:
        LockedError: another run is at work, or the host does not come back.
    """
    recorder = _recorder(host.state)
    if host.name in recorder.locks:
        return
    target = host.state.inventory.get_host(host.name)
    lock = Lock(target)
    try:
        lock.take()
    except RebootingError as boot:
        target.log("about to reboot since before this run: waiting for its next boot")
        if not await_next_boot(target, str(boot)):
            raise LockedError(f"{host.name}: no next boot; if none is coming: rm /run/voice-reboot on it") from boot
        lock.take()
    recorder.locks[host.name] = lock


def held(host: Host) -> Lock | None:
    """This run's lock of the host, if the deploy holds it."""
    recorders = (handler for handler in host.state.callback_handlers if isinstance(handler, Recorder))
    return next((recorder.locks[host.name] for recorder in recorders if host.name in recorder.locks), None)


def _recorder(state: State) -> Recorder:
    for handler in state.callback_handlers:
        if isinstance(handler, Recorder):
            return handler
    recorder = Recorder()
    state.add_callback_handler(recorder)  # type: ignore[no-untyped-call]
    return recorder


def run() -> str:
    """This run as the start of a JSON object, which lock.sh completes."""
    # The last one: an inventory, which stands before it, may lie in somebody's own deploys/.
    deploys = [word for word in sys.argv if DEPLOY.search(word)]
    who = {
        "who": getpass.getuser(),
        "from": socket.gethostname(),
        "what": deploys[-1] if deploys else "?",
        "commit": commit(),
    }
    return json.dumps(who).removesuffix("}")


def commit() -> str:
    """The commit of this clone; with "-dirty" when what is deployed differs from it; "unknown" when it is no clone."""
    ours = head()  # as the audit has it, which compares its own with what is recorded here
    return f"{ours.commit}{'-dirty' if ours.dirty else ''}" or "unknown"


def busy(holder: str) -> str:
    """What to tell who finds the host locked; `holder` is the JSON object that lock.sh wrote."""
    try:
        other = json.loads(holder)
        what = f"{other['what']} of {other['who']} on {other['from']} (commit {other['commit'][:12]})"
        since, pid = other["since"], other["pid"]
    except (ValueError, KeyError, TypeError):
        return "another run is at work; nothing was changed. Wait for its end"
    return (
        f"another run is at work since {since}: {what}; nothing was changed. Wait for its end. If it is known to be "
        f"dead, its connection still hangs: `sudo kill {pid}` on the host lets go of the lock"
    )
