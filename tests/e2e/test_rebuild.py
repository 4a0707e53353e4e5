"""A host's first run is cut off and heals; then it is destroyed, and another takes its place with volume and backup.

And what the volume refuses. `spare` has a udev of its own and a slot for a real block device (tests/lab/volume.py).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.documented import documented_command
from tests.e2e.backups import CADDYS_DATA, DOMAIN, Keeper, belongings, keeper, served
from tests.e2e.conftest import (
    ARTEFACTS,
    LabHost,
    Run,
    assert_a_run_changes_nothing,
    await_that,
    fetched_by,
    fresh_host,
    inventory_with,
    lab,
)
from tests.e2e.test_debian import await_healthy, healthy
from tests.lab import machine
from tests.lab.lock import locked
from tests.lab.ssh import KNOWN_HOSTS
from tests.lab.volume import BY_ID
from voicestack.stack.render import SERVICES

pytestmark = pytest.mark.usefixtures("lab_services")

VOLUME = ("--data", f"weights_volume={BY_ID}")
WEIGHTS = "deploys/weights.py"
LARGER_MIB = 3072
MEASURED = ARTEFACTS / "rebuild.json"

LISTS = "/var/lib/apt/lists/lock"
HOLDER = (
    "use Fcntl; open F, '>>', $ARGV[0] or die; my $whole = pack('s s x4 q q i x4', F_WRLCK, 0, 0, 0, 0); "
    "fcntl(F, F_SETLK, $whole) or die $!; sleep 300"
)
"""A lock as apt takes it, in Perl: a bare host has no Python."""
HALF_DONE = re.compile(
    r"^Package: (?!\S*pinning)(\S*(?:nvidia|cuda)\S*)\nStatus: install \S+ (?:unpacked|half-\w+)", re.MULTILINE
)


class Life(NamedTuple):
    """What a host was, before it was destroyed."""

    identity: str
    belongings: dict[str, str]
    served: str
    backup: Path


@pytest.fixture(scope="module")
def bare(lab_services: None) -> Iterator[LabHost]:
    """Host A, without a driver or Docker, and a blank volume in its slot."""
    lab("volume", "spare", "detach")
    host = fresh_host("spare")
    lab("volume", "spare", "remove")
    lab("volume", "spare", "attach")
    await_that(lambda: is_attached(host), "udev names the volume")
    with locked("hub", shared=True):
        yield host
    lab("volume", "spare", "detach")


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Keeper:
    return keeper(tmp_path_factory.mktemp("owner"))


@pytest.fixture(scope="module")
def first(bare: LabHost, owner: Keeper) -> Life:
    """Host A with the stack, as the cut-off run and the next left it; what it was when it had a backup."""
    run = bare.deploy(*VOLUME)
    assert run.status == 0, run.printed[-4000:]
    assert healthy(bare) == sorted(SERVICES)
    certificate = f"{CADDYS_DATA}/certificates/local/{DOMAIN}/{DOMAIN}.json"
    await_that(lambda: bare.shell(f"ls {certificate}", check=False) != "", "Caddy has its certificate", 120)
    return Life(identity(bare), belongings(bare), served(bare), owner.backup(bare)[1])


@pytest.fixture(scope="module")
def second(bare: LabHost, first: Life, owner: Keeper) -> tuple[LabHost, Run]:
    """Host B in its place, with the volume, which was enlarged meanwhile; without a token for the Hub. Timed."""
    moments = {"destroyed": time.monotonic()}

    def note(what: str) -> None:
        moments[what] = time.monotonic()

    fetched = fetched_by(bare)
    lab("volume", "spare", "detach")
    lab("fresh", "spare")
    lab("volume", "spare", "attach", "--mib", str(LARGER_MIB))
    await_that(lambda: is_attached(bare), "udev names the volume")
    note("another host, with the volume")
    restored = owner.restore(bare, first.backup)
    assert restored.status == 0, restored.printed[-4000:]
    note("restored")
    run = bare.deploy(*VOLUME, token="")
    assert run.status == 0, run.printed[-4000:]
    note("healthy")
    assert healthy(bare) == sorted(SERVICES)
    assert fetched_by(bare) == fetched
    times = list(moments.values())
    seconds = {
        name: round(end - begin, 1) for name, begin, end in zip(list(moments)[1:], times, times[1:], strict=False)
    }
    MEASURED.write_text(
        json.dumps({**seconds, "destroyed to healthy": round(times[-1] - times[0], 1)}, indent=2) + "\n"
    )
    print(MEASURED.read_text())
    return bare, run


def is_attached(host: LabHost) -> bool:
    return host.shell(f"test -b {BY_ID} && echo yes", check=False) == "yes"


def identity(host: LabHost) -> str:
    """The machine's id, and the key by which ssh knows it."""
    return host.shell("cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub")


def mount(host: LabHost) -> str:
    """What is mounted at /models, if anything is."""
    return host.shell("findmnt -n -o SOURCE --mountpoint /models", check=False)


def reboot(host: LabHost) -> None:
    boot = host.shell("cat /proc/sys/kernel/random/boot_id")
    host.shell("systemctl reboot", check=False)
    await_that(lambda: host.shell("cat /proc/sys/kernel/random/boot_id", check=False) not in ("", boot), "a new boot")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            "mkfs.ext4 -q -L photos {disk}",
            f"holds an ext4 labelled 'photos'; if it is for the models alone: e2label {BY_ID}",
        ),
        ("mkswap -q {disk}", "holds swap; if nobody needs that: wipefs -a"),
        ("head -c 4096 /dev/urandom > {disk}", "holds data of an unknown kind"),
        ("mkfs.ext4 -q -L voice-models {disk} && mount -o ro {disk} /mnt", "is mounted at /mnt; free it"),
    ],
)
def test_what_is_not_blank_and_not_ours_is_refused_and_left_alone(bare: LabHost, made: str, said: str) -> None:
    bare.shell(made.format(disk=BY_ID))
    before = bare.shell(f"head -c 64M {BY_ID} | sha256sum")
    run = bare.deploy(*VOLUME, program=WEIGHTS)
    assert run.status == 1
    assert said in run.printed
    assert bare.shell(f"head -c 64M {BY_ID} | sha256sum") == before
    assert mount(bare) == ""
    # What the message says makes it blank again, and that is what the next test relies on.
    bare.shell("umount /mnt", check=False)
    bare.shell(f"wipefs -q -a {BY_ID} && dd if=/dev/zero of={BY_ID} bs=1M count=1")


def test_a_volume_that_is_not_there_is_refused_with_the_disks_that_are(bare: LabHost) -> None:
    run = bare.deploy("--data", "weights_volume=/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0")
    assert run.status == 1
    assert "failed preflight with 1 finding; nothing was changed" in run.printed
    assert re.search(r"vol0 does not exist on the host, whose disks are: .*loop93 2G", run.printed)


def half_done(host: LabHost) -> list[str]:
    """Packages of the driver that dpkg is at work on, read where the lab keeps the host's disk: in no time."""
    status = machine.root_of(host.name) / "var/lib/dpkg/status"
    return HALF_DONE.findall(status.read_text(errors="replace"))


def test_a_lock_is_waited_for_and_a_power_cut_in_the_drivers_apt_heals_by_the_next_run(bare: LabHost) -> None:
    bare.shell(f'systemd-run --quiet --unit=apt-daily-lab perl -e "{HOLDER.replace("$", chr(92) + "$")}" {LISTS}')
    running = bare.start_deploy(*VOLUME)
    held = re.compile(rf"waiting for apt: perl \(pid \d+ of apt-daily-lab\.service, at work for \d+ s\) has {LISTS}")
    await_that(lambda: held.search(running.so_far()) is not None or running.is_over(), "the run tells who has the lock")
    assert not running.is_over()
    bare.shell("systemctl stop apt-daily-lab")
    await_that(lambda: half_done(bare) != [] or running.is_over(), "dpkg is at work on the driver", 300)
    machine.kill(bare.name)
    assert running.wait().status != 0
    left = half_done(bare)
    assert left

    machine.start(bare.name)
    machine.await_ssh(bare.name)
    run = bare.deploy(*VOLUME)
    assert run.status == 0, run.printed[-4000:]
    (told,) = re.findall(r"apt or dpkg was cut off in the middle; finishing: (.*)", run.printed)
    assert set(told.split()) & set(left)
    assert healthy(bare) == sorted(SERVICES)


def test_a_run_that_comes_between_the_order_to_reboot_and_the_reboot_waits(bare: LabHost) -> None:
    """As after a controller that was ended just then; and it is a second run: it changes nothing."""
    boot = bare.shell("cat /proc/sys/kernel/random/boot_id")
    bare.shell("touch /run/voice-reboot; systemd-run --quiet --on-active=20 systemctl reboot")
    run = bare.deploy(*VOLUME)
    assert run.status == 0, run.printed[-4000:]
    assert "about to reboot since before this run: waiting for its next boot" in run.printed
    assert bare.shell("cat /proc/sys/kernel/random/boot_id") != boot


def test_the_next_run_changes_nothing(bare: LabHost) -> None:
    assert_a_run_changes_nothing(bare, *VOLUME)


def test_the_first_host_fetches_the_weights_onto_its_blank_volume(bare: LabHost, first: Life) -> None:
    assert mount(bare) == bare.shell(f"readlink -f {BY_ID}")
    assert bare.shell(f"e2label {BY_ID}") == "voice-models"
    assert fetched_by(bare) > 90_000_000
    # The one that lost its power, the next, the ordered one; one for the driver if the cut came before nouveau's end.
    assert len(json.loads(bare.shell("journalctl --list-boots -o json"))) in (3, 4)


def test_another_host_with_the_volume_and_the_backup_takes_its_place(first: Life, second: tuple[LabHost, Run]) -> None:
    """No weights were fetched and no token was needed (the fixture); the larger volume is used whole."""
    host, run = second
    assert identity(host) != first.identity
    assert belongings(host) == first.belongings
    assert served(host) == first.served
    assert len(json.loads(host.shell("journalctl --list-boots -o json"))) == 2
    assert "Fetch the weights" not in " ".join(run.changed)
    blocks, size = host.shell("stat -f -c '%b %S' /models").split()
    assert int(blocks) * int(size) > 0.9 * LARGER_MIB * 2**20
    assert first.identity.split()[2] not in KNOWN_HOSTS.read_text()


def test_the_second_run_on_it_changes_nothing(second: tuple[LabHost, Run]) -> None:
    assert_a_run_changes_nothing(second[0], *VOLUME)


def test_testinfra_finds_the_weights_on_their_volume(second: tuple[LabHost, Run], tmp_path: Path) -> None:
    """The inventory names the volume, as the one for EC2 does."""
    inventory = inventory_with(tmp_path, weights_volume=BY_ID)
    result = second[0].host_tests("-k", "volume or catalogs", inventory=inventory)
    assert (result.returncode, "skipped" in result.stdout) == (0, False), result.stdout[-4000:]


def test_the_volume_and_the_stack_are_back_after_a_reboot(second: tuple[LabHost, Run]) -> None:
    host, _ = second
    reboot(host)
    await_healthy(host)
    assert mount(host) == host.shell(f"readlink -f {BY_ID}")
    assert host.shell("systemctl is-active 'systemd-fsck@dev-disk-by*'") == "active"


def test_without_the_volume_the_host_boots_docker_does_not_and_the_audit_says_why(
    second: tuple[LabHost, Run], tmp_path: Path
) -> None:
    host, _ = second
    lab("volume", "spare", "detach")
    reboot(host)
    assert mount(host) == ""
    found = audit(host, tmp_path / "report.json")
    assert host.shell("systemctl is-active docker.service", check=False) != "active"
    seen = host.shell(documented_command("systemctl status models.mount docker"), check=False)
    assert re.search(r"models\.mount.*Active: (inactive|failed)", seen, re.DOTALL), seen
    assert host.shell("pgrep containerd-shim; ls -A /models", check=False) == ""
    assert (BY_ID, "is not mounted at /models: Docker does not start") in found["fail"]
    assert any(f"weights_volume: {BY_ID} does not exist on the host" in said for _, said in found["warn"])

    lab("volume", "spare", "attach")
    await_that(lambda: is_attached(host), "udev names the volume")
    host.shell(documented_command("systemctl start models.mount docker"))
    await_healthy(host)
    assert audit(host, tmp_path / "report.json")["fail"] == []


def audit(host: LabHost, report: Path) -> dict[str, list[tuple[str, str]]]:
    """Severity -> subject and detail of what deploys/audit.py found."""
    host.deploy(*VOLUME, "--data", f"audit_report={report}", program="deploys/audit.py")
    findings: list[dict[str, Any]] = json.loads(report.read_text())["hosts"][host.name]["findings"]
    return {
        severity: [(each["subject"], each["detail"]) for each in findings if each["severity"] == severity]
        for severity in ("ok", "warn", "fail")
    }


def test_weights_on_the_root_disk_are_not_hidden_and_move_as_the_refusal_says(second: tuple[LabHost, Run]) -> None:
    """A host that was deployed without a volume, and now gets one."""
    host, _ = second
    host.shell(
        "docker ps -q | xargs docker stop && cp -a /models /models.copy && systemctl disable -q --now models.mount && "
        "rm /etc/systemd/system/models.mount /etc/systemd/system/docker.service.d/20-voice-volume.conf && "
        f"systemctl daemon-reload && rmdir /models && mv /models.copy /models && "
        f"wipefs -q -a {BY_ID} && dd if=/dev/zero of={BY_ID} bs=1M count=1"
    )
    run = host.deploy(*VOLUME)
    assert run.status == 1
    assert "would hide what lies in /models on the root disk" in run.printed
    assert mount(host) == ""
    fetched = fetched_by(host)
    commands, source = re.findall(r"Move it on the host: (.*); then run with --data (\S+), which", run.printed)[0]
    host.shell(commands)
    run = host.deploy(*VOLUME, "--data", source, token="")
    assert run.status == 0, run.printed[-4000:]
    assert fetched_by(host) == fetched
    assert mount(host) != ""
    assert healthy(host) == sorted(SERVICES)
    host.shell(f"rm -r {source.partition('=')[2]}")
    assert_a_run_changes_nothing(host, *VOLUME)


def test_a_host_whose_volume_has_gone_is_taken_down(second: tuple[LabHost, Run]) -> None:
    """The last of this module: a bare machine is left. Docker, once it starts, starts the engines without weights."""
    host, _ = second
    lab("volume", "spare", "detach")
    reboot(host)
    confirmed = (*VOLUME, "--data", f"teardown_confirm={DOMAIN}")
    run = host.deploy(*confirmed, program="deploys/teardown.py")
    assert run.status == 0, run.printed[-4000:]
    assert "Docker no longer waits for the weights' volume, which is not here" in run.printed
    assert host.shell("systemctl is-active docker.service; docker ps -aq; docker volume ls -q") == "active"
    left = host.shell("ls -d /opt/voice /etc/systemd/system/docker.service.d/20-*; ls -A /models", check=False)
    assert left == ""
