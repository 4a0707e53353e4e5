"""The numbered releases of a host: the rendered set of files and the ids of the images that ran with it.

`releases/N/` below the stack's home holds the files as they were placed, with their modes, and release.json beside
them; `releases/current` is a link to the one that was last seen healthy. The programs in bin/ are not part of a
release: what goes back must be the newest that knows how. Secrets and weights are not either. Standard library only;
no Docker.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

DESCRIPTION = "release.json"
PLAN = "bin/start.json"
CURRENT = "current"

Images = Mapping[str, tuple[str, str]]
"""Service -> its image's name and id."""


class Release(NamedTuple):
    """One release; `digest` is of its files' paths, modes and content, and of its images."""

    number: int
    made: str
    healthy: bool
    digest: str
    images: dict[str, tuple[str, str]]


class NoReleaseError(Exception):
    """There is no such release to go back to; the message says which there are."""


def held(home: Path) -> list[Release]:
    """The host's releases in their order; what cannot be read is none."""
    found = []
    for file in (home / "releases").glob(f"[0-9]*/{DESCRIPTION}"):
        try:
            entry = json.loads(file.read_text(encoding="utf-8"))
            images = {service: (name, image) for service, (name, image) in entry["images"].items()}
            found.append(Release(**{**entry, "number": int(file.parent.name), "images": images}))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found)


def current(home: Path) -> Release | None:
    """The release that was last seen healthy, None on a host that never had one."""
    link = home / "releases" / CURRENT
    number = link.readlink().name if link.is_symlink() else ""
    return next((release for release in held(home) if str(release.number) == number), None)


def identity(home: Path, files: Iterable[str], images: Images) -> str:
    """What two equal releases have in common."""
    digest = hashlib.sha256(json.dumps({name: list(image) for name, image in images.items()}, sort_keys=True).encode())
    for path in sorted(files):
        file = home / path
        content = file.read_bytes() if file.is_file() else b"missing"
        mode = stat.S_IMODE(file.stat().st_mode) if file.is_file() else 0
        digest.update(f"\0{path}\0{mode:o}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def keep(home: Path, files: Iterable[str], images: Images) -> Release:
    """The release that is what lies in `home`: one that is held already, or a new one, not healthy yet."""
    paths = list(files)
    digest = identity(home, paths, images)
    for release in held(home):
        if release.digest == digest:
            return release
    store = home / "releases"
    # By the directories: one that cannot be read is no release, but its number is taken.
    number = max((int(each.name) for each in store.glob("*") if each.name.isdecimal()), default=0) + 1
    made = datetime.now(timezone.utc).isoformat(timespec="seconds")
    release = Release(number, made, False, digest, dict(images))
    store.mkdir(mode=0o700, exist_ok=True)
    beside = store / ".new"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o700)
    for path in paths:
        if (home / path).is_file():
            (beside / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(home / path, beside / path)
    _describe(beside, release)
    beside.rename(store / str(number))
    return release


def accept(home: Path, release: Release, count: int) -> None:
    """Every service of the release is healthy: it is the one to go back to from now on. `count` of them are kept."""
    store = home / "releases"
    _describe(store / str(release.number), release._replace(healthy=True))
    beside = store / ".current"
    beside.unlink(missing_ok=True)
    beside.symlink_to(str(release.number))
    beside.replace(store / CURRENT)
    for expired in surplus(held(home), release.number, count):
        shutil.rmtree(store / str(expired))


def surplus(releases: list[Release], in_use: int, count: int) -> list[int]:
    """The numbers that go: of the healthy and of the failed ones each, all but the last `count` and the one in use."""
    numbers = []
    for healthy in (True, False):
        alike = [release.number for release in releases if release.healthy is healthy]
        numbers += alike[: max(0, len(alike) - count)]
    return [number for number in numbers if number != in_use]


def put_back(home: Path, release: Release, loaded: Collection[str] = ()) -> None:
    """Put the release's files in place of those that are there, each beside its place first; others of the set go.

    Args:
        home: the stack's home.
        release: whose files.
        loaded: files that a service has read as they are now, and that it would keep, as their content is all that
            tells: where the release's differs, it gets this moment as its time of change (see compare.py).
    """
    source = home / "releases" / str(release.number)
    paths = _files_in(source)
    replaced = files_of(home)
    for path in sorted(paths):
        place = home / path
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f"{place.name}.new")
        shutil.copy2(source / path, beside)
        if path in loaded and not _equal(beside, place):
            os.utime(beside)
        beside.replace(place)
    for path in replaced:
        if path not in paths:
            (home / path).unlink(missing_ok=True)


def drop_what_left(home: Path, before: Release) -> list[str]:
    """Remove the files of the release before that the set in `home` has no more; that release keeps them.

    What is not as it was there stays: a hand made it so, and nothing else keeps it.
    """
    kept = home / "releases" / str(before.number)
    left = _files_in(kept) - set(files_of(home))
    dropped = sorted(path for path in left if _equal(home / path, kept / path))
    for path in dropped:
        (home / path).unlink()
    return dropped


def edited(home: Path, in_use: Release) -> set[str]:
    """The files of the set that are not as the release in use has them: hands changed them since."""
    kept = home / "releases" / str(in_use.number)
    return {path for path in files_of(home) if not _equal(home / path, kept / path)}


def _files_in(kept: Path) -> set[str]:
    return {file.relative_to(kept).as_posix() for file in kept.rglob("*") if file.is_file()} - {DESCRIPTION}


def _equal(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def choose(releases: list[Release], in_use: Release | None, wanted: int) -> Release:
    """The healthy release with the number `wanted`; for 0 the one before the one in use.

    Raises:
        NoReleaseError: there is none.
    """
    healthy = [release for release in releases if release.healthy]
    if wanted:
        found = [release for release in healthy if release.number == wanted]
    else:
        found = [release for release in healthy if in_use is not None and release.number < in_use.number]
    if found:
        return found[-1]
    what = f"release {wanted} is not one of them" if wanted else "none of them is before the one in use"
    numbers = ", ".join(_shown(release, in_use) for release in releases) or "none"
    raise NoReleaseError(f"there is no release to go back to: the host has {numbers}; {what}")


def _shown(release: Release, in_use: Release | None) -> str:
    if in_use is not None and release.number == in_use.number:
        return f"{release.number} ({release.made}, in use)"
    return f"{release.number} ({release.made}{'' if release.healthy else ', never healthy'})"


def files_of(home: Path) -> list[str]:
    """The files of the set that lies in `home`, as its own plan lists them."""
    return list(json.loads((home / PLAN).read_text(encoding="utf-8"))["files"])


def _describe(directory: Path, release: Release) -> None:
    entry = release._asdict()
    del entry["number"]
    beside = directory / f"{DESCRIPTION}.new"
    beside.write_text(json.dumps(entry, indent=2) + "\n", encoding="utf-8")
    beside.chmod(0o600)
    beside.replace(directory / DESCRIPTION)
