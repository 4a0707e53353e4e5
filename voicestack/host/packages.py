"""apt as desired state: repositories with pinned keys, packages at versions, holds; nothing when nothing differs."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation
from pyinfra.context import host

from voicestack.host.apt import with_apt
from voicestack.host.platform import Repository
from voicestack.remote import File, Rows, Streamed, place, refuse, script_file

APT = "/etc/apt"
SEPARATE = "comment the entry out, or move it to a file of its own"
"""What to do about an entry for a repository of ours in a file with others."""


@dataclass(frozen=True)
class PackageSet:
    """What apt shall hold: `install` maps a package to its version ("" for any); `files` are root's, 0644.

    `where_possible` are installed along with others, where apt can; nothing differs for their absence.
    `hold_if_installed` are packages that are not ours to install, but not to be upgraded behind our back either.
    `own_urls` are repositories that a later set will add: others' entries for them give way already now, because
    apt does nothing at all while two of them contradict each other or one lacks its key.
    """

    install: Mapping[str, str] = field(default_factory=dict)
    where_possible: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    repositories: tuple[Repository, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    hold: tuple[str, ...] = ()
    hold_if_installed: tuple[str, ...] = ()
    own_urls: tuple[str, ...] = ()

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses for which apt shall read no entry but ours."""
        return (*self.own_urls, *(each.url for each in self.repositories))

    @property
    def all_files(self) -> dict[str, str]:
        """`files` and the sources of the repositories."""
        return {**self.files, **{each.sources_file: each.sources for each in self.repositories}}

    def question(self) -> dict[str, str]:
        """The arguments of the fact Apt that tell whether it is so."""
        return {
            "files": " ".join([*self.all_files, *(each.keyring for each in self.repositories)]),
            "packages": " ".join([*self.install, *self.absent, *self.hold_if_installed]),
            "urls": " ".join(self.urls),
        }


@dataclass(frozen=True)
class AptState:
    """What apt holds: sha256 of files, versions of installed packages, held names, others' entries for our sources.

    `half_done` is what a dpkg that was cut off left behind. `rivals` are files with nothing but such entries; `shared`
    maps the other ones that have any to the first of them.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    installed: Mapping[str, str] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    half_done: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    shared: Mapping[str, str] = field(default_factory=dict)


class AptChange(NamedTuple):
    """The difference between a PackageSet and an AptState; `any` of it is one."""

    files: tuple[str, ...] = ()
    repositories: tuple[Repository, ...] = ()
    remove: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    hold: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()


def difference(wanted: PackageSet, state: AptState) -> AptChange:
    """What has to change so that `state` becomes `wanted`."""
    digests = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in wanted.all_files.items()}
    return AptChange(
        files=tuple(path for path, digest in digests.items() if state.files.get(path) != digest),
        repositories=tuple(
            each
            for each in wanted.repositories
            if state.files.get(each.sources_file) != digests[each.sources_file] or each.keyring not in state.files
        ),
        remove=tuple(name for name in wanted.absent if name in state.installed),
        install=tuple(
            f"{name}={version}" if version else name
            for name, version in wanted.install.items()
            if name not in state.installed or (version and state.installed[name] != version)
        ),
        hold=tuple(
            name
            for name in (*wanted.hold, *(each for each in wanted.hold_if_installed if each in state.installed))
            if name not in state.held
        ),
        rivals=state.rivals,
    )


def not_ours_alone(shared: Mapping[str, str]) -> str:
    """Why others' files with an entry for one of our repositories cannot be moved aside, and what to do."""
    lines = (f"  {path}: {entry}" for path, entry in shared.items())
    return "\n".join([f"apt would read a repository of the deploys twice; {SEPARATE}:", *lines])


class Apt(FactBase[AptState]):
    """Files, packages and holds, in one ssh execution."""

    default = AptState

    def command(self, files: str, packages: str = "", urls: str = "") -> str:
        """The script with its three lists."""
        return with_apt(__file__, "packages_state.sh", files, packages, urls, APT)

    def process(self, output: list[str]) -> AptState:
        """A package that was removed and not purged is not installed."""
        rows = Rows(output)
        return AptState(
            files=rows.pairs("file"),
            installed={name: version for name, version, state in rows.all("package", 3) if state == "installed"},
            held=frozenset(rows.each("hold")),
            half_done=rows.each("half_done"),
            rivals=rows.each("rival"),
            shared=rows.pairs("shared"),
        )


@operation()
def packages(wanted: PackageSet) -> Generator[StringCommand, None, None]:
    """Make apt's state `wanted`, and finish what a dpkg that was cut off left behind, whoever's packages these are.

    `apt-get update` runs only when something is to be installed.
    """
    state = host.get_fact(Apt, **wanted.question())
    if state.shared:
        yield refuse(not_ours_alone(state.shared))
        return
    change = difference(wanted, state)
    if not (any(change) or state.half_done):
        host.noop(f"{len(wanted.install)} packages and {len(wanted.repositories)} repositories are as wanted")
        return
    if change.rivals:
        # Before our own entry is written: with both, apt refuses to do anything at all.
        host.log(f"moving aside other entries for the same repositories: {', '.join(change.rivals)}")
        yield StringCommand(script_file(__file__, "packages_aside.sh", *change.rivals))
    if change.files:
        yield place({path: File(wanted.all_files[path].encode()) for path in change.files})
    yield Streamed(
        with_apt(
            __file__,
            "packages_change.sh",
            " ".join(f"{each.keyring}|{each.key_url}|{each.fingerprint}" for each in change.repositories),
            " ".join(change.remove),
            " ".join(change.install),
            " ".join(change.hold),
            " ".join(wanted.where_possible),
        )
    )
