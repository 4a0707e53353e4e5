"""What apt.sh does where apt is in use, where nobody reads, and where dpkg was cut off: real locks, our own programs.

The scripts' directories are below a temporary one, and apt-get is a program that takes apt's locks as apt does.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from voicestack.host import packages
from voicestack.host.apt import with_apt
from voicestack.host.packages import Apt
from voicestack.host.report import Preflight, parse_report

LOCKS = ("lib/dpkg/lock-frontend", "lib/dpkg/lock", "lib/apt/lists/lock", "cache/apt/archives/lock")

APT_GET = """\
#!{python}
import fcntl, sys
lists = ["lib/apt/lists/lock"]
others = ["lib/dpkg/lock-frontend", "lib/dpkg/lock", "cache/apt/archives/lock"]
words = sys.argv[1:]
with open("{root}/calls", "a") as calls:
    calls.write("apt-get " + " ".join(words) + "\\n")
if "--simulate" not in words and "check" not in words:
    for name in lists if "update" in words else others:
        held = open(f"{root}/var/{{name}}", "a")
        try:
            fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"E: Could not get lock {root}/var/{{name}}. It is held by process 1 (somebody)", file=sys.stderr)
            sys.exit(100)
if "update" in words:
    open("{root}/var/lib/apt/lists/archive_InRelease", "w")
"""


class Host:
    """A host's apt below a temporary directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in (*LOCKS, "lib/dpkg/updates/x"):
            (root / "var" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "etc/apt").mkdir(parents=True)
        (root / "programs").mkdir()
        self.has("apt-get", APT_GET.format(python=sys.executable, root=root))
        for name in ("dpkg", "apt-mark"):
            self.has(name, f'#!/bin/sh\necho "{name} $*" >>{root}/calls\n')
        self.is_left(there=["ii |base-files"])

    def has(self, name: str, text: str) -> None:
        file = self.root / "programs" / name
        file.write_text(text)
        file.chmod(0o755)

    def is_left(self, there: list[str]) -> None:
        """What dpkg-query answers, whatever it is asked."""
        (self.root / "there").write_text("".join(f"{line}\n" for line in there))
        self.has("dpkg-query", f"#!/bin/sh\ncat {self.root}/there\n")

    def calls(self) -> list[str]:
        """What was called to change something."""
        called = (self.root / "calls").read_text().splitlines()
        return [re.sub(" -[yo]( Dpkg::[^ ]+)?", "", call) for call in called if not re.search("simulate|check", call)]

    def start(self, name: str, *arguments: str, patience_s: int = 60) -> subprocess.Popen[str]:
        """One of the scripts of apt, its stderr where its stdout is."""
        text = with_apt(packages.__file__, name, *arguments)
        text = re.sub(r"(?<![\w*])/(var|etc/apt)", rf"{self.root}/\1", text)
        text = text.replace("apt_patience_s=600 apt_told_every_s=10", f"apt_patience_s={patience_s} apt_told_every_s=1")
        environment = {**os.environ, "PATH": f"{self.root}/programs:{os.environ['PATH']}"}
        return subprocess.Popen(
            ["bash", "-c", text],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )

    def change(self, *arguments: str, patience_s: int = 60) -> tuple[int, str]:
        """Exit status of packages_change.sh and what it printed."""
        process = self.start("packages_change.sh", *arguments, patience_s=patience_s)
        return process.wait(60), process.stdout.read() if process.stdout else ""

    @contextmanager
    def locked(self, name: str) -> Iterator[subprocess.Popen[str]]:
        """Another process has one of the locks, until its stdin is closed."""
        take = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX); print(); input()"
        words = [sys.executable, "-c", take, str(self.root / "var" / name)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout
            other.stdout.readline()
            yield other
            other.kill()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


INSTALL_CURL = ("", "", "curl", "curl", "")
CURL_INSTALLED = [
    "apt-get update",
    "apt-get install --no-install-recommends --allow-change-held-packages --allow-downgrades curl",
    "apt-mark hold curl",
]


@pytest.mark.parametrize("name", LOCKS)
def test_each_of_the_four_locks_is_waited_for_with_its_holder_named(host: Host, name: str) -> None:
    with host.locked(name) as other:
        running = host.start("packages_change.sh", *INSTALL_CURL)
        assert running.stdout
        said = running.stdout.readline()
        assert re.fullmatch(
            rf"waiting for apt: python\S* \(pid {other.pid} of .*, at work for \d+ s\) has {host.root}/var/{name}\n",
            said,
        )
        other.kill()
    assert running.wait(60) == 0, running.stdout.read()
    assert host.calls() == CURL_INSTALLED


def test_a_lock_that_is_never_free_ends_the_run_with_its_holder_and_what_to_do(host: Host) -> None:
    with host.locked(LOCKS[2]) as other:
        status, said = host.change(*INSTALL_CURL, patience_s=2)
    assert status == 1
    last = said.splitlines()[-1]
    assert last.startswith("apt is in use since 2 s: python")
    assert f"(pid {other.pid} of " in last
    assert "Wait for its end, or end it if it hangs (`systemctl stop` the unit, or `kill` the pid)" in last


def test_somebody_who_is_faster_between_the_look_and_apts_own_taking_is_waited_for(host: Host) -> None:
    """And whoever lslocks does not show: here it shows nothing at all."""
    host.has("lslocks", "#!/bin/sh\n")
    with host.locked(LOCKS[2]) as other:
        threading.Timer(2, other.kill).start()
        status, said = host.change(*INSTALL_CURL)
    assert status == 0, said
    assert "Could not get lock" in said
    assert set(host.calls()) == set(CURL_INSTALLED)


def test_what_is_not_about_a_lock_is_not_tried_again(host: Host) -> None:
    host.has("apt-get", f"#!/bin/sh\necho apt-get $* >>{host.root}/calls\necho 'E: Unable to fetch'\nexit 100\n")
    assert host.change(*INSTALL_CURL)[0] != 0
    assert len([call for call in host.calls() if call.endswith("update")]) == 1


def test_apt_comes_to_its_end_although_its_reader_has_gone(host: Host) -> None:
    """A connection that breaks closes the pipe that apt's lines go into: SIGPIPE left dpkg half-configured."""
    go = host.root / "go"
    lines = "for i in 1 2 3; do echo Setting up $i; echo warning >&2; done"
    host.has(
        "apt-get",
        "#!/bin/bash\ncase $* in *simulate*|*check*|*update*) exit ;; esac\n"
        f"{lines}; until [ -e {go} ]; do sleep 0.05; done\n{lines}\n{lines}\necho ended >>{host.root}/calls\n",
    )
    running = host.start("packages_change.sh", *INSTALL_CURL)
    assert running.stdout
    assert running.stdout.readline()
    running.stdout.close()
    go.touch()
    assert running.wait(60) == 0
    assert host.calls() == ["ended", "apt-mark hold curl"]


@pytest.mark.parametrize("possible", [True, False])
def test_what_is_wanted_where_possible_comes_with_the_rest_or_is_left_out_and_told(host: Host, possible: bool) -> None:
    """An older kernel's modules fit an older driver: the reboot into the newest kernel remains."""
    if not possible:
        said = " modules : Depends: nvidia-kernel-common-580-server (<= 580.82.07-1)"
        calls = f'echo "apt-get $*" >>{host.root}/calls'
        refused = f'*simulate*modules) echo "{said}"; exit 100 ;;'
        host.has("apt-get", f"#!/bin/sh\n{calls}\ncase $* in {refused} esac\n")
    status, told = host.change("", "", "meta utils=1", "", "modules")
    assert status == 0, told
    (install,) = (call for call in host.calls() if " install " in call)
    assert install.endswith("--allow-downgrades meta utils=1" + " modules" * possible)
    assert ("goes without modules:  modules : Depends: nvidia-kernel-common-580-server (<= 580" in told) != possible


def heals(host: Host, when: str, apt_check: str = "exit 0") -> None:
    """All is well after a program was called with this word; before, apt-get check does `apt_check`."""
    whole = (
        f"rm -f {host.root}/var/lib/dpkg/updates/0*; echo 'ii |base-files' >{host.root}/there; touch {host.root}/whole"
    )
    note = f"echo $(basename $0) $* >>{host.root}/calls\n"
    mended = f"case $* in *{when}*) {whole} ;; *check) [ -e {host.root}/whole ] || {apt_check} ;; esac\n"
    for name in ("dpkg", "apt-get"):
        host.has(name, f"#!/bin/bash\n{note}{mended}")


CONFIGURE = "dpkg --force-confold --configure -a"
REMOVE = "dpkg --force-depends,remove-reinstreq --remove"
FIX = "apt-get --no-remove --allow-change-held-packages --fix-broken --reinstall install"


@pytest.mark.parametrize(
    ("there", "journal", "told", "done"),
    [
        (["ii |base-files", "iF |driver", "iU |smi"], "", "driver smi", [CONFIGURE, FIX]),
        (["hHR|cuda", "iF |smi"], "", "cuda smi", [CONFIGURE, f"{FIX} cuda"]),
        (["rH |docker.io", "pHR|runc"], "", "docker.io runc", [f"{REMOVE} docker.io runc", CONFIGURE, FIX]),
        (["ii |base-files"], "0001", "dpkg's journal", [CONFIGURE, FIX]),
    ],
)
def test_what_a_cut_off_dpkg_left_is_finished_first_and_told(
    host: Host, there: list[str], journal: str, told: str, done: list[str]
) -> None:
    """Each state as dpkg 1.22 and apt 3.0 need it: apt does not unpack again by itself, nor finish a removal."""
    heals(host, "--fix-broken")
    host.is_left(there)
    (host.root / "var/lib/dpkg/updates" / (journal or "tmp.i")).touch()
    status, said = host.change(*INSTALL_CURL)
    assert status == 0, said
    assert f"apt or dpkg was cut off in the middle; finishing: {told}\n" in said
    calls = [call for call in host.calls() if call != "apt-get update"]
    assert calls == [*done, *CURL_INSTALLED[1:]]


def test_a_whole_dpkg_is_not_mended_and_one_that_cannot_be_ends_the_run(host: Host) -> None:
    host.is_left(["ii |base-files", "rc |docker.io", "hi |linux-aws"])
    assert host.change(*INSTALL_CURL)[0] == 0
    assert host.calls() == CURL_INSTALLED
    host.is_left(["iF |theirs"])
    host.has("apt-get", "#!/bin/sh\necho 'dpkg: error processing package theirs'\nexit 100\n")
    status, said = host.change(*INSTALL_CURL)
    assert status == 1
    assert said.endswith(
        "dpkg: error processing package theirs\n"
        "apt could not finish what was cut off (see above): theirs. Mend it on the host and run again\n"
    )


def test_unmet_dependencies_alone_are_mended_too(host: Host) -> None:
    heals(host, "--fix-broken", apt_check="exit 100")
    status, said = host.change(*INSTALL_CURL)
    assert status == 0, said
    assert "finishing: unmet dependencies\n" in said


def test_half_done_packages_count_unless_a_dpkg_is_at_work_on_them(host: Host) -> None:
    """They are a reason for the operation to do something, though all that it wants is there."""
    host.is_left(["ii |base-files", "iF |theirs"])

    def half_done() -> tuple[str, ...]:
        process = host.start("packages_state.sh", "", "", "", str(host.root))
        return Apt().process(process.communicate()[0].splitlines()).half_done

    assert half_done() == ("theirs",)
    with host.locked(LOCKS[1]):
        assert half_done() == ()


@pytest.mark.parametrize(
    ("says", "faults"),
    [
        ("E: Unmet dependencies. Try 'apt --fix-broken install' with no packages (or specify a solution).", ()),
        ("E: The package libcuda1 needs to be reinstalled, but I can't find an archive for it.", ()),
        ("E: The list of sources could not be read.", ("E: The list of sources could not be read.",)),
    ],
)
def test_preflight_refuses_what_the_run_cannot_mend_and_nothing_else(
    host: Host, says: str, faults: tuple[str, ...]
) -> None:
    host.has("apt-get", f'#!/bin/sh\necho "{says}" >&2\nexit 100\n')
    locked = "dpkg: another process has locked the database for writing, and might currently be modifying it"
    host.has("dpkg", f"#!/bin/sh\necho '{locked}'\n")
    command = Preflight().command({"models": str(host.root)})
    environment = {**os.environ, "PATH": f"{host.root}/programs:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env=environment)
    assert parse_report(done.stdout.splitlines()).dpkg_faults == faults
