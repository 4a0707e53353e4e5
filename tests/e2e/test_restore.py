"""A backup of a live host, and its way back there. Onto a bare host: test_rebuild.py.

Not test_backup.py: pytest goes by name, and test_debian.py makes the host anew.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.backups import CADDYS_DATA, DOMAIN, Keeper, belongings, keeper, served
from tests.e2e.conftest import ROOT, LabHost, assert_a_run_changes_nothing, await_that

pytestmark = pytest.mark.usefixtures("lab_services")

KEYS = (ROOT / "voicestack" / "stack" / "keys.sh").read_text()
OTHER = "another" * 6


@pytest.fixture(scope="module")
def host(lab_services: None) -> LabHost:
    """The host as an earlier module left it, or a fresh one: a deploy makes both the same."""
    host = LabHost("debian")
    run = host.deploy()
    assert run.status == 0, run.printed[-4000:]
    await_that(lambda: serves(host), "Caddy has its certificate", 120)
    return host


def serves(host: LabHost) -> bool:
    return host.shell(f"ls {CADDYS_DATA}/certificates/local/{DOMAIN}/{DOMAIN}.json", check=False) != ""


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Keeper:
    return keeper(tmp_path_factory.mktemp("owner"))


@pytest.fixture(scope="module")
def backup(host: LabHost, owner: Keeper) -> Path:
    """One backup for all tests, made with everything that pyinfra can print; it printed and changed nothing."""
    before = host.containers(), belongings(host)
    run, file = owner.backup(host, "-vvv", "--debug", "--diff")
    assert (host.containers(), belongings(host)) == before
    assert "saved: /opt/voice/secrets/livekit.env" in run.printed
    assert f"saved: {CADDYS_DATA}/certificates/local/{DOMAIN}/{DOMAIN}.crt" in run.printed
    assert_silent(host, run.printed)
    return file


def secrets(host: LabHost) -> list[str]:
    """What nobody may see: LiveKit's secret, and a line of each private key."""
    keys = host.shell(f"find {CADDYS_DATA} -name '*.key' -exec sed -n 2p {{}} ';'").splitlines()
    assert len(keys) >= 3
    return [host.shell("cut -d ' ' -f 2 /opt/voice/livekit/keys.yaml"), *keys]


def assert_silent(host: LabHost, printed: str) -> None:
    """No secret of the host is in `printed`, nor base64 of it, as it travels."""
    assert [each for each in secrets(host) if each in printed] == []
    assert re.findall(r"[A-Za-z0-9+/]{76}", printed) == []


def test_a_backup_is_read_by_age_and_tar_alone_and_is_what_the_host_has(
    host: LabHost, owner: Keeper, backup: Path, tmp_path: Path
) -> None:
    assert re.fullmatch(r"debian-\d{8}T\d{6}Z\.tar\.age", backup.name)
    assert backup.stat().st_mode & 0o777 == 0o600
    assert backup.read_bytes().startswith(b"age-encryption.org/v1\n")
    decrypted = subprocess.run(["age", "-d", "-i", owner.identity, backup], stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", tmp_path], input=decrypted.stdout, check=True)
    note = json.loads((tmp_path / "voice-backup.json").read_text())
    assert (note["domain"], note["host"]) == (DOMAIN, host.name)
    saved = [
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file() and path.parent != tmp_path
    ]
    assert f"{CADDYS_DATA}/pki/authorities/local/root.key".lstrip("/") in saved
    for path in saved:
        assert (tmp_path / path).read_text().strip() == host.shell(f"cat /{path}"), path


def test_the_run_is_on_the_hosts_record(host: LabHost, backup: Path) -> None:
    last = json.loads(host.shell("tail -n 1 /var/log/voice/runs.jsonl"))
    assert (last["what"], last["outcome"]) == ("deploys/backup.py", "done: 1 of 1 operations changed something")


def test_what_is_there_already_is_not_restored_again(host: LabHost, owner: Keeper, backup: Path) -> None:
    before = host.containers(), host.shell("find /opt/voice /var/lib/voice -printf '%p %T@ %m\n' | sort | sha256sum")
    run = owner.restore(host, backup)
    assert run.status == 0, run.printed[-4000:]
    assert run.changed == []
    after = host.containers(), host.shell("find /opt/voice /var/lib/voice -printf '%p %T@ %m\n' | sort | sha256sum")
    assert after == before


def test_another_identity_changes_nothing(host: LabHost, owner: Keeper, backup: Path, tmp_path: Path) -> None:
    before = host.containers(), belongings(host)
    run = owner.restore(host, backup, "--data", f"restore_identity={keeper(tmp_path).identity}")
    assert run.status == 1
    assert f"restore_file: {backup}: cannot be decrypted" in run.printed
    assert (host.containers(), belongings(host)) == before


@pytest.fixture
def another_life(host: LabHost, backup: Path) -> Iterator[dict[str, str]]:
    """The host with another LiveKit pair and another authority than in the backup; what it had before."""
    before = belongings(host)
    host.shell("cat > /tmp/keys.sh", stdin=KEYS)
    pair = f"LIVEKIT_API_KEY=APIanother\nLIVEKIT_API_SECRET={OTHER}\n"
    host.shell("bash -euo pipefail /tmp/keys.sh /opt/voice keep; rm /tmp/keys.sh", stdin=pair)
    host.shell(f"docker stop voice-caddy-1; rm -r {CADDYS_DATA}; docker start voice-caddy-1")
    await_that(lambda: serves(host), "Caddy has made itself another certificate", 120)
    changed = belongings(host)
    assert [path for path in before if changed[path] == before[path]] == []
    yield before
    host.shell("rm -rf /opt/voice/*/*.2* /var/lib/voice/caddy/replaced")


def test_what_changed_since_comes_back_and_what_it_replaces_is_kept(
    host: LabHost, owner: Keeper, backup: Path, another_life: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    since, running, shown = time.time(), host.containers(), served(host)
    monkeypatch.setenv("AGE_IDENTITY_FILE", str(owner.identity))
    everything = ("-vvv", "--debug", "--diff", "--data", "restore_identity=")
    run = owner.restore(host, backup, *everything)
    assert run.status == 0, run.printed[-4000:]
    assert belongings(host) == another_life
    assert_silent(host, run.printed)
    assert OTHER not in run.printed
    assert owner.identity.read_text().splitlines()[-1] not in run.printed

    # Who runs with what was replaced, and nobody else, was restarted; the agent never had the other pair.
    now = host.containers()
    readers = {f"voice-{service}-1" for service in ("caddy", "livekit")}
    assert {name for name in now if now[name] != running[name]} == readers
    assert served(host) != shown
    kept = host.shell(
        f"grep -rl {OTHER} /opt/voice; ls /var/lib/voice/caddy/replaced/*/data/caddy/pki/authorities/local"
    )
    assert re.search(r"keys\.yaml\.\d{8}T", kept)
    assert {"root.crt", "root.key"} <= set(kept.splitlines())
    assert host.shell(f"find / -xdev -newermt @{since:.0f} -name '*.new'", check=False) == ""

    assert owner.restore(host, backup).changed == []
    assert_a_run_changes_nothing(host)
