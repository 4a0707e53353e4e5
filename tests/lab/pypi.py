"""A package index of the lab's own (PEP 503), with exactly the wheels that the project's locks name.

The wheels come once from the real index, checked against the locks' hashes; a host then installs without one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename

from tests.lab.console import run
from tests.lab.daemon import Daemon
from tests.lab.disk import content_hash, make_whole
from tests.lab.places import CACHE, REPOSITORY

PORT = 8093
_FETCHER = REPOSITORY / "voicestack/weights/requirements-fetch.txt"
LOCKS = ((REPOSITORY / "agent/requirements.txt", "3.13"), (_FETCHER, "3.13"), (_FETCHER, "3.11"))
"""With the Python that installs from it: the agent image's, Debian 13's, Debian 12's."""
_TARGET = {
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
}
"""A lab host and the agent's image: the controller's own may differ."""
_PLATFORMS = (
    *("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux_2_12"),
    *("manylinux2010", "manylinux_2_5", "manylinux1", "linux"),
)


def ensure(address: str) -> dict[str, object]:
    """Have the wheels and serve them; returns the index's URL."""
    directories = [_wheels(*each) for each in LOCKS]
    wheels = {wheel.name: wheel for directory in directories for wheel in directory.glob("*.whl")}
    key = content_hash(directory.name for directory in directories)
    index = make_whole(CACHE / "index" / key, lambda root: arrange(root, wheels.values()), what="package index")
    return {"url": f"{Daemon('pypi').serve_files(index, address, PORT)}/simple"}


def _wheels(lock: Path, python: str) -> Path:
    """The directory with a lock's wheels for a Python, downloaded on first use."""
    wanted = "\n".join(applicable(lock.read_text(), python)) + "\n"
    name = f"{lock.parent.name}-{content_hash([wanted, python, *_TARGET.values(), *_PLATFORMS])}"

    def download(directory: Path) -> None:
        directory.mkdir(parents=True)
        flags = ["--implementation", "cp", "--python-version", python]
        for platform in _PLATFORMS:
            flags += ["--platform", f"{platform}_x86_64"]
        _pip("download", *flags, "--dest", directory, requirements=wanted)

    return make_whole(CACHE / "wheels" / name, download, what=f"wheels of {lock.relative_to(REPOSITORY)}")


def applicable(lock: str, python: str) -> Iterator[str]:
    """The lock's requirements that a lab host needs, without their markers, one a line with its hashes."""
    target = {**_TARGET, "python_version": python, "python_full_version": f"{python}.5"}
    for line in lock.replace("\\\n", " ").splitlines():
        text, *hashes = line.strip().split(" --hash=")
        if not text or text.startswith("#"):
            continue
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(target):
            requirement.marker = None
            yield " --hash=".join([str(requirement), *(value.strip() for value in hashes)])


def arrange(root: Path, wheels: Iterable[Path]) -> None:
    """Links to the wheels in the directories that a file server's own listings make an index of."""
    for wheel in wheels:
        project, *_ = parse_wheel_filename(wheel.name)
        link = root / "simple" / project / wheel.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(wheel)


def unpack(directory: Path, requirement: str) -> None:
    """The content of PyPI's wheel for this requirement, which names its sha256 as a lock does."""
    _pip("install", "--no-compile", "--python-version", "3.12", "--target", directory, requirements=requirement)


def _pip(*words: str | Path, requirements: str) -> None:
    """What is required and nothing that it depends on, each with a hash."""
    flags = ("--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--requirement", "/dev/stdin")
    run(sys.executable, "-m", "pip", *words, *flags, input_text=requirements)
