"""Waiting for a host that reboots."""

from __future__ import annotations

import time

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host
from pyinfra.connectors.util import clear_askpass_cache

REBOOT_TIMEOUT_S = 600


def await_next_boot(host: Host, boot_id: str) -> bool:
    """Reconnect until the boot id differs; False after REBOOT_TIMEOUT_S seconds."""
    started = time.monotonic()
    clear_askpass_cache(host)
    host.disconnect()
    reported = started
    while time.monotonic() - started < REBOOT_TIMEOUT_S:
        if _boots_anew(host, boot_id):
            host.log(f"back after {time.monotonic() - started:.0f} s")
            return True
        if time.monotonic() - reported > 15:
            reported = time.monotonic()
            host.log(f"rebooting, {reported - started:.0f} s so far")
        time.sleep(1)
    host.log(f"did not come back within {REBOOT_TIMEOUT_S} s of its reboot; look at its console")
    return False


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
