"""Apt repositories: index and signature over a set of packages, in the two layouts vendors use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path

from tests.lab import signing
from tests.lab.console import run
from tests.lab.packages.deb import Deb


def write_suite(root: Path, store: Path, name: str, origin: str, components: Mapping[str, Iterable[Deb]]) -> None:
    """A repository with releases and components, read as `deb URL NAME COMPONENT…`."""
    pool = root / "pool" / name
    indices = {
        f"{component}/binary-amd64/Packages": "".join(_offer(deb, pool / component, root, store) for deb in debs)
        for component, debs in components.items()
    }
    fields = {"Suite": name, "Codename": name, "Components": " ".join(components)}
    _publish(root / "dists" / name, origin, fields, indices)


def write_flat(root: Path, store: Path, origin: str, debs: Iterable[Deb]) -> None:
    """A repository in one directory, read as `deb URL /`."""
    _publish(root, origin, {}, {"Packages": "".join(_offer(deb, root, root, store) for deb in debs)})


def _offer(deb: Deb, directory: Path, root: Path, store: Path) -> str:
    """Put a package into a repository, built in `store` unless it is there; returns its entry of a Packages index.

    One file name is one content, in whichever repository it stands.
    """
    built = store / deb.file_name
    if not built.exists():
        deb.build(store)
    placed = directory / deb.file_name
    directory.mkdir(parents=True, exist_ok=True)
    placed.hardlink_to(built)
    with placed.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = placed.stat().st_size
    about = run("dpkg-deb", "--field", placed)
    return f"{about}Filename: {placed.relative_to(root)}\nSize: {size}\nSHA256: {digest}\n\n"


def _publish(directory: Path, origin: str, fields: Mapping[str, str], indices: Mapping[str, str]) -> None:
    """Write the indices, and the signed file that vouches for them."""
    date = datetime.now(timezone.utc).strftime("%a, %d %b %Y %H:%M:%S UTC")
    about = {"Origin": origin, "Label": origin, **fields, "Architectures": "amd64", "Date": date}
    release = "".join(f"{key}: {value}\n" for key, value in about.items()) + "SHA256:\n"
    for name, text in indices.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        release += f" {hashlib.sha256(text.encode()).hexdigest()} {len(text.encode())} {name}\n"
    (directory / "InRelease").write_text(signing.sign(release))
