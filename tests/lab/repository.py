"""Apt repositories: index and signature over a set of packages, in the two layouts vendors use."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from tests.lab import signing
from tests.lab.console import run
from tests.lab.packages.deb import Deb


@dataclass(frozen=True)
class Suite:
    """A repository with releases and components, read as `deb URL NAME COMPONENT…`."""

    name: str
    origin: str
    components: Mapping[str, Iterable[Deb]]

    def write(self, root: Path, store: Path) -> None:
        """Publish the packages below `root`, building in `store` what is not there yet."""
        indices: dict[str, bytes] = {}
        for component, debs in self.components.items():
            pool = root / "pool" / self.name / component
            pool.mkdir(parents=True)
            text = "".join(_stanza(_place(deb, pool, store), root) for deb in debs)
            indices[f"{component}/binary-amd64/Packages"] = text.encode()
        fields = {
            "Origin": self.origin,
            "Label": self.origin,
            "Suite": self.name,
            "Codename": self.name,
            "Components": " ".join(self.components),
        }
        _publish(root / "dists" / self.name, fields, indices)


@dataclass(frozen=True)
class Flat:
    """A repository in one directory, read as `deb URL /`."""

    origin: str
    debs: Iterable[Deb]

    def write(self, root: Path, store: Path) -> None:
        """Publish the packages in `root`, building in `store` what is not there yet."""
        root.mkdir(parents=True, exist_ok=True)
        text = "".join(_stanza(_place(deb, root, store), root) for deb in self.debs)
        _publish(root, {"Origin": self.origin, "Label": self.origin}, {"Packages": text.encode()})


def _place(deb: Deb, directory: Path, store: Path) -> Path:
    """Link a package into a repository; one file name is one content, in whichever repository it stands."""
    built = store / deb.file_name
    if not built.exists():
        deb.build(store)
    placed = directory / deb.file_name
    placed.hardlink_to(built)
    return placed


def _stanza(deb: Path, root: Path) -> str:
    """One entry of a Packages index."""
    with deb.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return (
        run("dpkg-deb", "--field", deb)
        + f"Filename: {deb.relative_to(root)}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n\n"
    )


def _publish(directory: Path, fields: Mapping[str, str], indices: Mapping[str, bytes]) -> None:
    """Write the indices, plain and packed, and the signed Release file that vouches for them."""
    directory.mkdir(parents=True, exist_ok=True)
    written = {}
    for name, data in indices.items():
        for full_name, content in ((name, data), (f"{name}.gz", gzip.compress(data, mtime=0))):
            path = directory / full_name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            written[full_name] = content
    date = datetime.now(timezone.utc).strftime("%a, %d %b %Y %H:%M:%S UTC")
    release = "".join(f"{key}: {value}\n" for key, value in fields.items())
    release += f"Architectures: amd64\nDate: {date}\nSHA256:\n"
    for name, content in written.items():
        release += f" {hashlib.sha256(content).hexdigest()} {len(content)} {name}\n"
    (directory / "Release").write_text(release)
    (directory / "InRelease").write_text(signing.sign_inline(release))
    (directory / "Release.gpg").write_text(signing.sign_detached(release))
