"""The weights' disk: what a host shows of it, why it is refused, what is still to be done."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.test_preflight import GOOD
from voicestack.audit.weights import volume
from voicestack.host.preflight import findings
from voicestack.host.report import Disk
from voicestack.host.volume import DROP_IN, Volume, steps, unit_path, wanted_files
from voicestack.host.volume_state import GROUP, VolumeState, escaped, refusals, size_problem
from voicestack.settings.load import parse as parse_settings
from voicestack.settings.model import Settings

DISK = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0"
UUID = "5f1c2a8e-6c55-4d6f-9d7a-2b1f0c9e8d11"
GIB = 2**30

BLANK = VolumeState(
    device="/dev/nvme1n1", number="259:3", size=60 * GIB, model="Amazon Elastic Block Store", zeros=True
)
OURS = replace(BLANK, zeros=False, signatures=("ext4",), label="voice-models", uuid=UUID, fs_size=60 * GIB)
FILES = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in wanted_files("/models", UUID).items()}
MOUNTED = replace(OURS, mounted=("259:3", "/dev/nvme1n1"), files=FILES, enabled=True)


@pytest.fixture
def settings(data: dict[str, Any]) -> Settings:
    return parse_settings({**data, "weights_volume": DISK})


def test_the_scripts_lines_become_a_state() -> None:
    state = Volume().process(
        [
            "mounted\t259:3\t/dev/nvme1n1",
            f"file\t{DROP_IN}\tabc",
            "enabled\tyes",
            "device\t/dev/nvme1n1\t259:3\t64424509440\t0",
            "model\tAmazon Elastic Block Store              ",
            "user\tis mounted at /mnt",
            "signature\text4",
            "probe\tLABEL\tvoice-models",
            f"probe\tUUID\t{UUID}",
            "probe\tTYPE\text4",
            "blocks\t15728640\t4096",
            "model_there\tllama-guard-3-1b",
        ]
    )
    assert state == VolumeState(
        device="/dev/nvme1n1",
        number="259:3",
        size=60 * GIB,
        model="Amazon Elastic Block Store",
        users=("is mounted at /mnt",),
        signatures=("ext4",),
        label="voice-models",
        uuid=UUID,
        fs_size=60 * GIB,
        models=frozenset({"llama-guard-3-1b"}),
        mounted=("259:3", "/dev/nvme1n1"),
        files={DROP_IN: "abc"},
        enabled=True,
    )
    assert Volume().process([]) == VolumeState()
    assert Volume().process(["model", "device\t/dev/null"]) == VolumeState(device="/dev/null")


def test_a_blank_disk_and_our_own_are_used() -> None:
    for state in (BLANK, OURS, MOUNTED):
        assert refusals(state, DISK, "/models") == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"signatures": ("xfs",), "zeros": False}, "holds xfs; if nobody needs that: wipefs -a"),
        ({"signatures": ("dos", "ext4"), "label": "voice-models"}, "holds dos and ext4"),
        (
            {"signatures": ("ext4",), "label": "", "zeros": False},
            f"without a label; if it is for the models alone: e2label {DISK} v",
        ),
        ({"signatures": ("ext4",), "label": "backup"}, "holds an ext4 labelled 'backup'"),
        ({"zeros": False}, "holds data of an unknown kind"),
        ({"users": ("is swap space",)}, "is swap space; free it"),
        ({"users": ("has the partition nvme1n1p1",), "signatures": ("gpt",)}, "has the partition nvme1n1p1; free it"),
        ({"model": "Amazon EC2 NVMe Instance Storage"}, "erased whenever the instance stops; name an EBS volume"),
        ({"read_only": True}, "is read only"),
        ({"number": ""}, "is no disk"),
        ({"missing": ("mkfs.ext4",)}, "mkfs.ext4 cannot be found on the host; apt-get install e2fsprogs"),
        ({"mounted": ("259:9", "/dev/sdx")}, "/dev/sdx is mounted at /models; umount /models"),
        (
            {"fstab": "LABEL=m /models ext4"},
            "/etc/fstab mounts something at /models too; remove its line (LABEL=m /models",
        ),
        ({"content": ("a", "b", "c", "d")}, "would hide what lies in /models on the root disk (a, b, c, ...). Move it"),
        ({"content": ("a",)}, "docker stop; mv -T /models /models.before-volume; then run"),
    ],
)
def test_anything_else_is_refused_with_what_was_found_and_the_fix(change: dict[str, Any], expected: str) -> None:
    (refusal,) = refusals(replace(BLANK, **change), DISK, "/models")
    assert expected in refusal


def test_a_disk_that_is_not_there_is_named_with_those_that_are() -> None:
    """An unnamed disk is never taken instead, however blank: on a g6.xlarge that would be the one EC2 erases."""
    others = ("nvme0n1 100G Amazon Elastic Block Store", "nvme2n1 232.8G Amazon EC2 NVMe Instance Storage")
    (refusal,) = refusals(VolumeState(disks=others), DISK, "/models")
    assert refusal == (
        f"weights_volume: {DISK} does not exist on the host, whose disks are: {'; '.join(others)}; "
        "attach it to this instance, or correct the setting"
    )


def test_the_steps_follow_from_the_state() -> None:
    assert steps(BLANK, "/models") == ("format", "files", "mount")
    assert steps(OURS, "/models") == ("files", "mount")
    assert steps(MOUNTED, "/models") == ()
    assert steps(replace(MOUNTED, files={}), "/models") == ("files",)
    assert steps(replace(MOUNTED, enabled=False), "/models") == ("mount",)
    assert steps(replace(MOUNTED, size=80 * GIB), "/models") == ("grow",)
    assert steps(replace(MOUNTED, mounted=()), "/models") == ("mount",)


def test_what_a_file_system_leaves_over_at_its_devices_end_is_no_growth() -> None:
    assert not replace(MOUNTED, size=60 * GIB + GROUP - 4096).is_larger_than_its_file_system
    assert replace(MOUNTED, size=60 * GIB + GROUP).is_larger_than_its_file_system
    assert not replace(MOUNTED, fs_size=0).is_larger_than_its_file_system


def test_another_disk_with_the_same_file_system_is_not_ours() -> None:
    """A volume made from a snapshot has the UUID of its original; the kernel's number tells them apart."""
    (refusal,) = refusals(replace(MOUNTED, mounted=("259:4", "/dev/nvme2n1")), DISK, "/models")
    assert "/dev/nvme2n1 is mounted at /models" in refusal


@pytest.mark.skipif(shutil.which("systemd-escape") is None, reason="systemd is what it is compared with")
@pytest.mark.parametrize(
    "path", ["/models", "/srv/voice-models", "/srv//a.b/c_d", "/.hidden/models", f"/dev/disk/by-uuid/{UUID}"]
)
def test_unit_names_are_systemds(path: str) -> None:
    told = subprocess.run(["systemd-escape", "--path", path], capture_output=True, text=True, check=True)
    assert escaped(path) == told.stdout.strip()


def test_a_mount_unit_is_named_by_its_directory() -> None:
    assert unit_path("/srv/models") == "/etc/systemd/system/srv-models.mount"


def test_preflight_asks_the_volume_for_the_weights_room_and_not_the_root_disk(settings: Settings) -> None:
    bare = replace(GOOD, disks=(Disk("/", "/dev/root:/", 12 * 2**20), Disk("/models", "/dev/root:/", 12 * 2**20)))
    assert findings(bare, settings, BLANK, has_token=True) == []
    assert findings(bare, settings, replace(BLANK, size=20 * GIB), has_token=True) == [
        "weights_volume: 20.0 GiB; 25 GiB are needed (preflight_disk_models_gib); enlarge it"
    ]
    # On a host that is deployed what is free on it counts, as everywhere.
    full = (Disk("/", "/dev/root:/", 12 * 2**20), Disk("/models", "/dev/nvme1n1:/models", 2**20))
    (finding,) = findings(replace(GOOD, disks=full, deployed=True), settings, MOUNTED, has_token=True)
    assert "1.0 GiB free for /models" in finding
    assert size_problem(VolumeState(), 25) == []


def test_preflight_says_what_speaks_against_the_volume(settings: Settings) -> None:
    refused = replace(BLANK, read_only=True)
    assert findings(GOOD, settings, refused, has_token=True) == refusals(refused, DISK, "/models") != []


def test_weights_on_an_unmounted_volume_need_no_token(settings: Settings) -> None:
    (finding,) = findings(GOOD, settings, OURS, has_token=False)
    assert "is gated and not on the host yet; set HF_TOKEN" in finding
    seen = replace(OURS, models=frozenset({"llama-guard-3-1b"}))
    assert findings(GOOD, settings, seen, has_token=False) == []


def test_the_audit_tells_what_a_run_would_do(settings: Settings) -> None:
    def said(state: VolumeState | None) -> list[tuple[str, str]]:
        return [(each.severity, each.detail) for each in volume(settings, state)]

    assert said(None) == []
    assert said(MOUNTED) == [("ok", "is mounted at /models, and Docker starts only with it")]
    assert said(VolumeState()) == [("fail", "is not mounted at /models: Docker does not start")]
    assert said(replace(MOUNTED, files={**FILES, DROP_IN: "edited"})) == [
        ("fail", f"/etc/systemd/system/models.mount or {DROP_IN} is not as this clone makes it")
    ]
    assert said(replace(MOUNTED, enabled=False, size=80 * GIB)) == [
        ("fail", "is larger than its file system"),
        ("fail", "is not mounted at boot"),
    ]
