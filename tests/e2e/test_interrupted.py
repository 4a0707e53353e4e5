"""A first run on a host where others use apt, that is cut off in the middle of apt, and heals by being run again.

One fresh host for all, in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import LabHost, assert_a_run_changes_nothing, await_that, fresh_host
from tests.e2e.test_debian import healthy
from tests.lab import machine
from tests.lab.lock import locked
from voicestack.stack.render import SERVICES

LISTS = "/var/lib/apt/lists/lock"
HOLDER = (
    "use Fcntl; open F, '>>', $ARGV[0] or die; my $whole = pack('s s x4 q q i x4', F_WRLCK, 0, 0, 0, 0); "
    "fcntl(F, F_SETLK, $whole) or die $!; sleep 300"
)
"""A lock as apt takes it, in Perl: a bare host has no Python."""
HALF_DONE = re.compile(
    r"^Package: (?!\S*pinning)(\S*(?:nvidia|cuda)\S*)\nStatus: install \S+ (?:unpacked|half-\w+)", re.MULTILINE
)


@pytest.fixture(scope="module")
def host(lab_services: None) -> Iterator[LabHost]:
    with locked("hub", shared=True):
        yield fresh_host("spare")


def half_done(host: LabHost) -> list[str]:
    """Packages of the driver that dpkg is at work on, read where the lab keeps the host's disk: in no time."""
    status = machine.root_of(host.name) / "var/lib/dpkg/status"
    return HALF_DONE.findall(status.read_text(errors="replace"))


def test_a_lock_is_waited_for_and_a_power_cut_in_the_drivers_apt_heals_by_the_next_run(host: LabHost) -> None:
    host.shell(f"systemd-run --quiet --unit=apt-daily-lab perl -e {_quoted(HOLDER)} {LISTS}")
    running = host.start_deploy()
    held = re.compile(rf"waiting for apt: perl \(pid \d+ of apt-daily-lab\.service, at work for \d+ s\) has {LISTS}")
    await_that(lambda: held.search(running.so_far()) is not None or running.is_over(), "the run tells who has the lock")
    assert not running.is_over()
    host.shell("systemctl stop apt-daily-lab")
    await_that(lambda: half_done(host) != [] or running.is_over(), "dpkg is at work on the driver", 300)
    machine.kill(host.name)
    assert running.wait().status != 0
    left = half_done(host)
    assert left

    machine.start(host.name)
    machine.await_ssh(host.name)
    run = host.deploy()
    assert run.status == 0, run.printed[-4000:]
    (told,) = re.findall(r"apt or dpkg was cut off in the middle; finishing: (.*)", run.printed)
    assert set(told.split()) & set(left)
    assert healthy(host) == sorted(SERVICES)


def test_a_run_that_comes_between_the_order_to_reboot_and_the_reboot_waits(host: LabHost) -> None:
    """As after a controller that was ended just then; and it is a second run: it changes nothing."""
    boot = host.shell("cat /proc/sys/kernel/random/boot_id")
    host.shell("touch /run/voice-reboot; systemd-run --quiet --on-active=20 systemctl reboot")
    run = host.deploy()
    assert run.status == 0, run.printed[-4000:]
    assert "about to reboot since before this run: waiting for its next boot" in run.printed
    assert host.shell("cat /proc/sys/kernel/random/boot_id") != boot


def test_the_next_run_changes_nothing(host: LabHost) -> None:
    assert_a_run_changes_nothing(host)


def _quoted(text: str) -> str:
    return '"' + text.replace("$", r"\$") + '"'
