"""Bring the services up in order, each only when those before it are healthy. Runs on the host as root.

Usage: start.py [--check | --releases | --back-to N]. Reads start.json beside it. Standard library only.

Without an option, services that differ are recreated by Compose (or reload their file) and awaited; those that are as
wanted are not touched. What was brought up is kept as a numbered release. If one of the services does not become
healthy, its last log lines and the likely cause are printed, the release before is put back, and the status is 1.
--check changes nothing: it prints one JSON object, service -> why it is not as wanted (empty: all is well).
--releases prints the numbered releases as JSON. --back-to puts a healthy one in place first (0: the one before).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from typing import Any

from on_host import docker
from on_host.paths import HOME
from on_host.start import compare, releases
from on_host.start.services import bring_up, differences, plan
from on_host.start.waiting import NotHealthyError, say

NOT_KEPT = {"the stack": "is not kept as a release yet"}
FAILURES = (NotHealthyError, subprocess.CalledProcessError, subprocess.TimeoutExpired)


def images(services: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Service -> its image's name, and the id that the name stands for now."""
    return {name: (each["image"], docker.image_id(each["image"])) for name, each in services.items()}


def run() -> int:
    """Bring up what the files say, as a release; if it does not become healthy, the one before comes back."""
    before = releases.current(HOME)
    trial = releases.keep(HOME, releases.files_of(HOME), images(compare.definitions()))
    is_new = before is None or trial.number != before.number
    if before is not None and is_new:
        again = " again" if trial.healthy else ""
        say(f"release {trial.number}{again}, in the place of release {before.number}")
    try:
        for _ in bring_up():
            pass
    except FAILURES as error:
        say(told(error), error=True)
        return way_back(before, trial, culprit(error))
    if is_new:
        if before is not None:
            for path in releases.drop_what_left(HOME, before):
                say(f"{path}: no longer part of the set, removed; release {before.number} keeps it")
        releases.accept(HOME, trial, plan()["releases_keep"])
        say(f"release {trial.number} is healthy")
    return 0


def way_back(before: releases.Release | None, trial: releases.Release, service: str) -> int:
    """Put `before` back in place of `trial`, say how long each service was gone; always 1: the run did not succeed."""
    failed = f"release {trial.number} did not become healthy because of {service}"
    if before is None or before.number == trial.number:
        why = "no release was healthy here before" if before is None else "it is the one in use"
        say(f"{failed}; {why}: nothing is put back", error=True)
        return 1
    since = time.monotonic()
    say(f"{failed}; release {before.number} is put back", error=True)
    try:
        put_back(before)
        for each in bring_up():
            say(f"{each}: back on release {before.number} {time.monotonic() - since:.0f} s after the failure")
    except releases.NoReleaseError as error:
        say(f"{failed}; release {before.number} cannot be put back: {error}", error=True)
        return 1
    except FAILURES as error:
        say(told(error), error=True)
        say(f"{failed}; release {before.number} was put back, but is not healthy either: {culprit(error)}", error=True)
        return 1
    seconds = time.monotonic() - since
    say(f"{failed}; release {before.number} is back, healthy after {seconds:.0f} s", error=True)
    return 1


def put_back(release: releases.Release, edited: Collection[str] = ()) -> None:
    """The release's files are in place, and its images' names stand for the ids they stood for.

    Args:
        release: whose files and images.
        edited: files that a service has read as hands left them.

    Raises:
        NoReleaseError: one of its images is not on the host any more; nothing was changed.
    """
    gone = sorted({name for name, image in release.images.values() if not docker.image_id(image)})
    if gone:
        names = ", ".join(gone)
        raise releases.NoReleaseError(
            f"release {release.number} needs {names} as it was, and Docker has no image with that id any more: "
            "removed, or Docker keeps its images in another store"
        )
    for name, image in dict(release.images.values()).items():
        if docker.image_id(name) != image:
            docker.run("tag", image, name)
    # What a service reloads counts as read: the reload may have gone through before something failed.
    reloaded = {file for each in plan()["reloads"].values() for file in each["files"]}
    releases.put_back(HOME, release, reloaded.union(edited))


def go_back(number: int) -> int:
    """By hand: the release `number` (0: the healthy one before) instead of the one in use."""
    before = releases.current(HOME)
    try:
        release = releases.choose(releases.held(HOME), before, number)
        put_back(release, compare.loaded(releases.edited(HOME, before)) if before else ())
    except releases.NoReleaseError as error:
        say(str(error), error=True)
        return 1
    return run()


def told(error: Exception) -> str:
    """What failed, for people."""
    if isinstance(error, (subprocess.CalledProcessError, subprocess.TimeoutExpired)):
        return f"{' '.join(error.cmd[:8])} ... failed: {type(error).__name__}"
    return str(error)


def culprit(error: Exception) -> str:
    """The service that failed, or else Docker."""
    return error.service if isinstance(error, NotHealthyError) else "Docker"


def check() -> dict[str, str]:
    """Service -> why it is not as wanted; that the whole is not kept as a release yet is a reason too."""
    services, made = compare.definitions(), plan()
    found = differences(compare.wanted(services, made["reloads"]), made, services)
    in_use = releases.current(HOME)
    is_kept = in_use is not None and in_use.digest == releases.identity(HOME, releases.files_of(HOME), images(services))
    return found if found or is_kept else NOT_KEPT


def listing() -> dict[str, Any]:
    """The releases and the number of the one in use (0: none), for the controller."""
    in_use = releases.current(HOME)
    return {"current": in_use.number if in_use else 0, "releases": [each._asdict() for each in releases.held(HOME)]}


def main() -> int:
    """Check, list, go back or start; 0 when every service is (or became) as wanted."""
    parser = argparse.ArgumentParser(description="Bring the stack's services up in order.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true")
    what.add_argument("--releases", action="store_true")
    what.add_argument("--back-to", type=int)
    options = parser.parse_args()
    try:
        if options.check or options.releases:
            print(json.dumps(check() if options.check else listing()))
            return 0
        return run() if options.back_to is None else go_back(options.back_to)
    except subprocess.CalledProcessError as error:
        say(told(error), error=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
