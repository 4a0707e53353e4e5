"""deploys/weights.py on a bare Debian 13: what really happens to gigabytes on their way, and years after it.

One host for all, in order. The lab's Hub serves small models; Voxtral's newer commit has 201 MB.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import (
    CATALOG,
    LabHost,
    Run,
    Running,
    await_that,
    catalog,
    fresh_host,
    hub,
    hub_log,
    hub_url,
    lab_token,
    sent,
)
from tests.lab.hub import NO_SCOPE, UNGRANTED
from tests.lab.hub.models import NEWER
from tests.lab.lock import locked
from tests.lab.places import HOST_ADDRESSES

pytestmark = pytest.mark.usefixtures("lab_services", "calm_hub")

PROGRAM = "deploys/weights.py"
ADDRESS = HOST_ADDRESSES["spare"]
"""Other hosts' runs ask the Hub meanwhile."""

VOXTRAL, GUARD, WHISPER = CATALOG
WEIGHTS = "consolidated.safetensors"
MIB = 1024 * 1024
CRAWL = 200_000
"""Bytes per second: nothing ends meanwhile, and the line is not dead either."""

MINI = "mistralai/Voxtral-Mini-3B-2507"
PROGRESS = re.compile(
    r"[\w.-]+: [\d.]+ [kMG]?B of [\d.]+ [MG]B \(\d+ %\); all models: .* \(\d+ %\), [\d.]+ MB/s, .* left"
)


@pytest.fixture(scope="module")
def host(lab_services: None) -> Iterator[LabHost]:
    """A fresh host, while nobody else downloads anything."""
    with locked("hub"):
        yield fresh_host("spare")


@pytest.fixture
def calm_hub(lab_services: None) -> Iterator[None]:
    hub("reset")
    yield
    hub("reset")


def fetch(host: LabHost, *data: str, token: str | None = None) -> Run:
    return start(host, *data, token=token).wait()


def start(host: LabHost, *data: str, token: str | None = None) -> Running:
    options = [word for each in data for word in ("--data", each)]
    return host.start_deploy(*options, program=PROGRAM, token=token)


def start_and_hold(host: LabHost, *data: str) -> Running:
    """A fetch that has most of its 201 MB behind it and goes on at a crawl."""
    hub("reset")
    hub("slow", rate=CRAWL, after=115 * MIB)
    running = start(host, *data)
    await_that(lambda: sent() > 110 * MIB, "110 MiB were sent")
    return running


def refused(run: Run, words: str) -> None:
    assert run.status == 1
    assert re.search(words, run.printed), run.printed[-3000:]
    assert "Traceback" not in run.printed


def done(run: Run) -> Run:
    assert run.status == 0, run.printed[-4000:]
    return run


def revision(host: LabHost, directory: str = f"/models/{VOXTRAL}") -> str:
    return str(json.loads(host.shell(f"cat {directory}/.provenance.json"))["revision"])


def replaced(host: LabHost) -> list[str]:
    return host.shell("ls /models/.replaced 2>/dev/null || true").split()


@pytest.mark.parametrize(
    ("token", "voxtral", "words"),
    [
        ("", {}, r"HF_TOKEN is not set, and meta-llama/Llama-Guard-3-1B is gated\. Ask for access on http"),
        ("hf_wrong", {}, r"does not know the token in HF_TOKEN .*/settings/tokens"),
        (
            UNGRANTED,
            {},
            r"account has no access to meta-llama/Llama-Guard-3-1B\. Ask for it on http\S*Llama-Guard-3-1B",
        ),
        (NO_SCOPE, {}, r"Read access to contents of all public gated repos"),
        (None, {"repo": "mistralai/Voxtral-TTS-4B"}, r"is now called mistralai/Voxtral-4B-TTS-2603.*weights_catalog"),
        (None, {"revision": "0" * 40}, r"has no commit 0{40}.*revision in weights_catalog"),
        (None, {"repo": "nobody/nothing"}, r"/nobody/nothing does not exist.*weights_catalog"),
    ],
)
def test_each_refusal_names_the_page_or_the_setting_before_the_first_byte_of_any_model(
    host: LabHost, token: str | None, voxtral: dict[str, str], words: str
) -> None:
    refused(fetch(host, catalog(**voxtral), token=token), words)
    assert not [each for each in hub_log(ADDRESS) if "/resolve/" in each["path"] or each["server"] == "cdn"]
    assert host.shell("find /models -mindepth 1 ! -name .lock 2>/dev/null || true") == ""


def test_a_hub_that_is_down_is_named(host: LabHost) -> None:
    hub("down", **{"for": 1000, "client": ADDRESS})
    refused(fetch(host), r"has trouble: it answers 503 .*weights_endpoint")


def test_a_wrong_token_is_refused_for_all_models_at_once(host: LabHost) -> None:
    printed = fetch(host, catalog(revision="0" * 40), token=UNGRANTED).printed
    assert f"weights: {VOXTRAL}: " in printed
    assert f"weights: {GUARD}: " in printed


@pytest.mark.parametrize("repo", [MINI, "lab-mirror/Voxtral-4B-TTS-2603", "lab-mirror/Voxtral-4B-TTS"])
def test_finding_01_the_wrong_variant_under_any_name_is_refused_for_less_than_a_megabyte(
    host: LabHost, repo: str
) -> None:
    commits = {MINI: "3b" * 20, "lab-mirror/Voxtral-4B-TTS-2603": "3c" * 20, "lab-mirror/Voxtral-4B-TTS": "3d" * 20}
    run = fetch(host, catalog(repo=repo, revision=commits[repo]))
    refused(run, rf"{repo}@\w+ is not a voxtral_tts model:")
    assert "expected tensors named acoustic_transformer.*, found none" in run.printed
    assert "Meant is mistralai/Voxtral-4B-TTS-2603." in run.printed
    print(f"{repo} was refused after {sent('hub') + sent('cdn')} bytes")
    assert sent("hub") + sent("cdn") < 1_000_000
    assert host.shell("ls /models") == ""


def test_the_first_fetch_shows_progress_and_keeps_the_token_to_itself(host: LabHost) -> None:
    hub("slow", rate=CRAWL, after=20 * MIB)
    running = start(host)
    await_that(lambda: sent() > 15 * MIB, "15 MiB were sent")
    look = "grep -ls -F -f - /proc/[0-9]*/cmdline /proc/[0-9]*/environ || true"
    assert host.shell(look, stdin=lab_token()) == ""
    second = fetch(host)
    hub("slow", rate=12_000_000)
    run = done(running.wait())

    refused(second, r"another run is at work since .*: deploys/weights.py of ")
    assert len(PROGRESS.findall(run.printed)) >= 2
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", run.printed)
    assert "Licence: CC-BY-NC-4.0" in run.printed
    assert "Licence: Llama 3.2 Community License" in run.printed
    assert {each["authorization"] for each in hub_log(ADDRESS) if each["server"] == "cdn"} == {False}
    assert host.shell("grep -rls -F -f - /models /opt /tmp /root /var /run || true", stdin=lab_token()) == ""
    assert lab_token() not in run.printed


def test_what_is_in_place_is_what_the_hub_has(host: LabHost) -> None:
    sums = "cd /models && find . -path './.*' -prune -o -type f ! -name .provenance.json -print0 | xargs -0 sha256sum"
    found = {line.split("  ./")[1]: line.split()[0] for line in host.shell(sums).splitlines()}
    for name in CATALOG:
        records = json.loads(host.shell(f"cat /models/{name}/.provenance.json"))
        assert records["repo"] == CATALOG[name]["repo"]
        assert re.fullmatch(r"voice-stack-provisioning, fetcher [0-9a-f]{12}", records["tool"])
        assert {f"{name}/{path}": each["sha256"] for path, each in records["files"].items()} == {
            path: digest for path, digest in found.items() if path.startswith(f"{name}/")
        }


def test_the_second_run_changes_nothing_in_one_ssh_execution_beside_the_locks(host: LabHost) -> None:
    assert done(fetch(host)).changed == []
    # one takes the run's lock, one says that all is there
    assert host.ssh_executions(PROGRAM) == 2
    assert hub_log(ADDRESS) == []


READER = """
cd /
while [ ! -e /tmp/reader.stop ]; do
    cd /models/voxtral-4b-tts 2>/dev/null || { echo absent; continue; }
    echo "$(grep -o '"revision": "....' .provenance.json | tail -c 5) $(stat -c %s consolidated.safetensors)"
done | sort | uniq -c > /tmp/reader.seen
"""


def test_a_killed_fetch_goes_on_and_a_reader_sees_the_old_model_or_the_new_one(host: LabHost) -> None:
    before = host.shell(f"stat -c %s /models/{VOXTRAL}/{WEIGHTS}")
    host.shell("cat > /tmp/reader.sh; rm -f /tmp/reader.stop; setsid sh /tmp/reader.sh >&- 2>&- &", stdin=READER)
    running = start_and_hold(host, catalog(revision=NEWER))
    host.shell("pkill -9 -f [o]n_host.weights.fetch")
    killed = running.wait()
    assert killed.status == 1
    assert revision(host) == CATALOG[VOXTRAL]["revision"]
    first = sent()

    hub("slow", rate=0)
    run = done(fetch(host, catalog(revision=NEWER)))
    assert re.search(rf"{WEIGHTS} goes on at byte \d{{7,}} of ", run.printed)
    assert revision(host) == NEWER
    size = int(host.shell(f"stat -c %s /models/{VOXTRAL}/{WEIGHTS}"))
    print(f"killed after {first / MIB:.0f} MiB; {(sent() - size) / MIB:.1f} MiB were fetched twice")
    assert sent() < size + 64 * MIB
    host.shell("touch /tmp/reader.stop; while [ ! -s /tmp/reader.seen ]; do sleep 0.1; done")
    seen = {" ".join(line.split()[1:]) for line in host.shell("cat /tmp/reader.seen").splitlines()}
    assert seen == {f"{CATALOG[VOXTRAL]['revision'][:4]} {before}", f"{NEWER[:4]} {size}"}


def test_going_back_is_a_rename_without_hub_and_token(host: LabHost) -> None:
    hub("down", **{"for": 1000, "client": ADDRESS})
    run = done(fetch(host, token=""))
    assert "back in place from /models/.replaced/" in run.printed
    assert revision(host) == CATALOG[VOXTRAL]["revision"]
    assert hub_log(ADDRESS) == []
    assert [revision(host, f"/models/.replaced/{each}") for each in replaced(host)] == [NEWER]
    assert done(fetch(host, token="")).changed == []


def test_a_reboot_in_the_middle_costs_little(host: LabHost) -> None:
    host.shell("rm -r /models/.replaced")
    running = start_and_hold(host, catalog(revision=NEWER))
    boot = host.shell("cat /proc/sys/kernel/random/boot_id")
    host.shell("systemctl reboot", check=False)
    running.wait()
    await_that(
        lambda: host.shell("cat /proc/sys/kernel/random/boot_id", check=False) not in ("", boot), "the host is back"
    )
    hub("slow", rate=0)
    done(fetch(host, catalog(revision=NEWER)))
    assert revision(host) == NEWER
    assert sent() < int(host.shell(f"stat -c %s /models/{VOXTRAL}/{WEIGHTS}")) + 64 * MIB
    done(fetch(host))


def test_a_line_that_is_cut_again_and_again_costs_nothing(host: LabHost) -> None:
    host.shell(f"rm -r /models/{WHISPER}")
    hub("cut-after", bytes=3_000_000, times=12)
    run = done(fetch(host))
    assert re.search(r"model\.bin was cut at byte \d+, resuming", run.printed)
    assert sent() < int(host.shell(f"du -sb /models/{WHISPER} | cut -f 1")) + MIB


def test_the_token_is_in_no_output_however_much_is_printed(host: LabHost) -> None:
    host.shell(f"rm -r /models/{GUARD}")
    run = done(host.deploy("-vvv", "--debug", "--diff", program=PROGRAM))
    assert f"{GUARD}: in place" in run.printed
    assert lab_token() not in run.printed
    assert lab_token() not in host.shell("journalctl --no-pager -o cat")


def test_a_flipped_byte_is_found_by_the_deep_verification_and_that_file_alone_is_fetched(host: LabHost) -> None:
    path = f"/models/{VOXTRAL}/{WEIGHTS}"
    before = host.shell(f"sha256sum < {path}; stat -c %i /models/{VOXTRAL}/tekken.json")
    host.shell(f"printf X | dd of={path} bs=1 seek=3000000 conv=notrunc status=none")
    assert done(fetch(host)).changed == []  # names and sizes are right
    hub("reset")
    run = done(fetch(host, "weights_verify=deep"))
    assert f"{VOXTRAL}: {WEIGHTS} is damaged: sha256 " in run.printed
    assert host.shell(f"sha256sum < {path}; stat -c %i /models/{VOXTRAL}/tekken.json") == before
    large = {each["path"] for each in hub_log(ADDRESS) if each["server"] == "cdn" and each["bytes"] > 10_000}
    assert len(large) == 1
    hub("reset")
    clean = done(fetch(host, "weights_verify=deep"))
    assert re.search(r"verify: 37 files read, 92\.\d MB in ", clean.printed)
    assert hub_log(ADDRESS) == []


def test_finding_01_the_wrong_variant_already_there_is_recognised_moved_aside_and_kept(host: LabHost) -> None:
    """Found on a real host: the directory of the speaking model held the listening one, left by an exploration."""
    host.shell("rm -r /models/.replaced")
    fill = " && ".join(
        f"curl -sfL -o {file} {hub_url()}/{MINI}/resolve/{'3b' * 20}/{file}"
        for file in ("config.json", "params.json", "tekken.json", WEIGHTS)
    )
    host.shell(f"rm -r /models/{VOXTRAL}; mkdir /models/{VOXTRAL}; cd /models/{VOXTRAL}; {fill}")
    host.shell(f"fallocate -l 2G /models/{VOXTRAL}/model-00001-of-00002.safetensors")
    hub("reset")
    run = done(fetch(host))
    assert re.search(
        rf"{VOXTRAL}: 5 files of unknown origin \(2\.2 GB, no readable \.provenance\.json\); they are not voxtral_tts "
        r"but look like Voxtral-Mini-3B-2507 \(it transcribes speech; it cannot speak\)",
        run.printed,
    )
    assert revision(host) == CATALOG[VOXTRAL]["revision"]
    (aside,) = replaced(host)
    assert re.search(
        rf"kept in /models/.replaced/{aside} and holds 2\.2 GB \(weights_keep_replaced_days\)", run.printed
    )
    assert "model-00001-of-00002.safetensors" in host.shell(f"ls /models/.replaced/{aside}")


def test_fault_h4_somebody_elses_directory_is_refused_with_the_list_and_stays_as_it_is(host: LabHost) -> None:
    look = "find /srv/somebody -printf '%p %s %i %C@\\n' | sort"
    host.shell(
        "mkdir -p /srv/somebody/ubuntu/.ssh; echo key | tee /srv/somebody/ubuntu/.ssh/authorized_keys /srv/somebody/x"
    )
    before = host.shell(look)
    refused(
        fetch(host, "weights_directory=/srv/somebody"),
        r"/srv/somebody holds what is not in weights_catalog \(ubuntu, x\).*mkdir /srv/somebody/\.replaced",
    )
    assert host.shell(look) == before
    assert hub_log(ADDRESS) == []


def test_what_the_catalog_does_not_know_is_moved_aside_and_reported(host: LabHost) -> None:
    host.shell("mkdir -p /models/exploration /models/lost+found; echo 1 > /models/exploration/x; echo 2 > /models/note")
    run = done(fetch(host))
    assert "exploration in /models is not in the catalog" in run.printed
    assert sorted(host.shell("ls /models").split()) == sorted([*CATALOG, "lost+found"])
    assert len(replaced(host)) == 3
    quiet = done(fetch(host))
    assert quiet.changed == []
    assert re.search(r"/models/.replaced holds 2\.2 GB \(.*weights_keep_replaced_days = forever", quiet.printed)


def test_replaced_models_go_when_the_setting_says_so_and_not_before(host: LabHost) -> None:
    assert done(fetch(host, "weights_keep_replaced_days=1")).changed == []
    run = done(fetch(host, "weights_keep_replaced_days=0"))
    assert re.search(r"deleted, its time was over \(weights_keep_replaced_days\); 2\.2 GB are free again", run.printed)
    assert replaced(host) == []
    assert done(fetch(host, "weights_keep_replaced_days=0")).changed == []


def small_disk(host: LabHost, options: str) -> None:
    host.shell(f"umount /small 2>/dev/null || true; mkdir -p /small; mount -t tmpfs -o {options} tmpfs /small")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("size=550m", r"The disk of /small has 0\.6 GB free; 0\.1 GB are to be fetched and 0\.5 GB shall stay free"),
        ("size=2g,nr_inodes=80", r"The disk of /small has \d+ inodes free; 37 files are to come"),
    ],
)
def test_too_little_room_is_said_before_the_first_large_byte(host: LabHost, options: str, words: str) -> None:
    small_disk(host, options)
    refused(fetch(host, "weights_directory=/small"), words)
    assert sent() < MIB


def test_a_disk_that_fills_up_anyway_leaves_the_old_model_in_place_and_says_so(host: LabHost) -> None:
    small_disk(host, "size=1g")
    done(fetch(host, "weights_directory=/small"))
    running = start_and_hold(host, "weights_directory=/small", catalog(revision=NEWER))
    host.shell("head -c 2G /dev/zero > /small/.other 2>/dev/null || true")
    hub("slow", rate=0)
    refused(running.wait(), r"The disk of /small is full\. The models in place are untouched; a new run goes on")
    assert revision(host, f"/small/{VOXTRAL}") == CATALOG[VOXTRAL]["revision"]
    host.shell("rm /small/.other")
    hub("reset")
    done(fetch(host, "weights_directory=/small", catalog(revision=NEWER)))
    assert revision(host, f"/small/{VOXTRAL}") == NEWER
    assert sent() < 150 * MIB
    host.shell("umount /small")


@pytest.mark.parametrize("source", ["/mnt/models", "/mnt/models.tar"])
def test_without_any_hub_models_come_from_a_directory_or_a_tarball(host: LabHost, source: str) -> None:
    host.shell("[ -e /mnt/models.tar ] || { cp -r /models /mnt/models; tar -C /models -cf /mnt/models.tar .; }")
    hub("down", **{"for": 1000, "client": ADDRESS})
    target = f"/air-gap-{Path(source).suffix or 'directory'}"
    run = done(fetch(host, f"weights_source={source}", f"weights_directory={target}", token=""))
    assert f"{VOXTRAL}: in place, 23 files verified" in run.printed
    assert hub_log(ADDRESS) == []
    compare = f"diff -r -x .provenance.json -x '.[lrs]*' -x lost+found /models {target}"
    assert host.shell(compare) == ""
    again = fetch(host, f"weights_source={source}", f"weights_directory={target}", token="")
    assert done(again).changed == []


def test_a_damaged_byte_in_the_tarball_is_not_installed(host: LabHost) -> None:
    host.shell(
        "printf X | dd of=/mnt/models/llama-guard-3-1b/model.safetensors bs=1 seek=3000000 conv=notrunc status=none"
    )
    run = fetch(host, "weights_source=/mnt/models", "weights_directory=/air-gap-damaged", token="")
    refused(run, r"model\.safetensors arrived damaged twice \(sha256 ")
    assert host.shell("ls -d /air-gap-damaged/llama-guard-3-1b", check=False) == ""


def test_a_source_with_another_revision_is_refused(host: LabHost) -> None:
    run = fetch(
        host, "weights_source=/mnt/models", "weights_directory=/air-gap-other", catalog(revision=NEWER), token=""
    )
    refused(
        run,
        rf"is mistralai/Voxtral-4B-TTS-2603@b81be46c3777 by its \.provenance\.json, the catalog says .*@{NEWER[:12]}",
    )
