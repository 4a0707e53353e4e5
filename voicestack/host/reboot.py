"""Rebooting a host in the middle of a run, and going on."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import FunctionCommand, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State

from voicestack.boot import await_next_boot
from voicestack.lock import LockedError, held


def reboot_and_wait(boot_id: str) -> Generator[StringCommand | FunctionCommand, None, None]:
    """The commands that reboot the host whose boot is `boot_id` and wait until another boot answers."""
    yield FunctionCommand(_let_go_of_the_lock, (), {})
    # Detached, so that the ssh channel closes before the connection does. The file, for whoever comes in between, ends
    # with this boot (lock.sh).
    yield StringCommand("touch /run/voice-reboot; nohup sh -c 'sleep 1; systemctl reboot' </dev/null >/dev/null 2>&1 &")
    yield FunctionCommand(_goes_on, (boot_id,), {})


def _let_go_of_the_lock(state: State, host: Host) -> bool:
    """The lock ends with the boot; that is not the end of this run."""
    if (lock := held(host)) is not None:
        lock.pause()
    return True


def _goes_on(state: State, host: Host, boot_id: str) -> bool:
    """False, a failed operation, when the host does not come back, or another run was faster."""
    if not await_next_boot(host, boot_id):
        return False
    lock = held(host)
    try:
        if lock is not None:
            lock.resume()
    except LockedError as error:
        host.log(str(error))
        return False
    return True
