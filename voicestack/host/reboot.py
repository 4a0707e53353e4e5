"""Rebooting a host in the middle of a run, and going on."""

from __future__ import annotations

import time
from collections.abc import Generator

from pyinfra.api.command import FunctionCommand, StringCommand
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors.util import clear_askpass_cache

from voicestack.lock import LockedError, held

REBOOT_TIMEOUT_S = 600


def reboot_and_wait(boot_id: str) -> Generator[StringCommand | FunctionCommand, None, None]:
    """The commands that reboot the host whose boot is `boot_id` and wait until another boot answers."""
    yield FunctionCommand(_let_go_of_the_lock, (), {})
    # Detached, so that the ssh channel closes before the connection does. The file, for whoever comes in between, ends
    # with this boot (lock.sh).
    yield StringCommand("touch /run/voice-reboot; nohup sh -c 'sleep 1; systemctl reboot' </dev/null >/dev/null 2>&1 &")
    yield FunctionCommand(await_next_boot, (boot_id,), {})


def await_next_boot(state: State, host: Host, boot_id: str) -> bool:
    """Reconnect until the boot id differs; False (a failed operation) after REBOOT_TIMEOUT_S seconds."""
    started = time.monotonic()
    clear_askpass_cache(host)
    host.disconnect()
    reported = started
    while time.monotonic() - started < REBOOT_TIMEOUT_S:
        if _boots_anew(host, boot_id):
            host.log(f"back after {time.monotonic() - started:.0f} s")
            return _has_the_lock_again(host)
        if time.monotonic() - reported > 15:
            reported = time.monotonic()
            host.log(f"rebooting, {reported - started:.0f} s so far")
        time.sleep(1)
    host.log(f"did not come back within {REBOOT_TIMEOUT_S} s of its reboot; look at its console")
    return False


def _let_go_of_the_lock(state: State, host: Host) -> bool:
    """The lock ends with the boot; that is not the end of this run."""
    if (lock := held(host)) is not None:
        lock.pause()
    return True


def _has_the_lock_again(host: Host) -> bool:
    """False when another run was faster."""
    lock = held(host)
    try:
        if lock is not None:
            lock.resume()
    except LockedError as error:
        host.log(str(error))
        return False
    return True


def _boots_anew(host: Host, boot_id: str) -> bool:
    try:
        host.connect(show_errors=False)
        if not host.connected:
            return False
        answered, output = host.run_shell_command(StringCommand("cat /proc/sys/kernel/random/boot_id"))
        if answered and output.stdout.strip() != boot_id:
            return True
    except (ConnectError, OSError, EOFError):
        pass
    # Still the old boot, or a connection that broke: start afresh on the next try.
    host.connected = False
    return False
