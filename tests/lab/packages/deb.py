"""One Debian package: what it says about itself, the files it brings, and how it is built."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.console import run

_MAINTAINER = "Voice lab <lab@voice-lab.invalid>"


@dataclass(frozen=True)
class Deb:
    """A package. `files` maps target paths to text, bytes, or a file to copy; scripts become executable."""

    name: str
    version: str
    summary: str
    depends: tuple[str, ...] = ()
    siblings: tuple[str, ...] = ()
    """Names of packages that it needs at exactly its own version."""
    relations: Mapping[str, str] = field(default_factory=dict)
    """More control fields: Conflicts, Replaces, Provides, Recommends …"""
    files: Mapping[str, str | bytes | Path] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    """Maintainer scripts by name, without their shebang line."""

    @property
    def file_name(self) -> str:
        """The vendor's naming: no epoch in file names."""
        return f"{self.name}_{self.version.rpartition(':')[2]}_amd64.deb"

    def build(self, directory: Path) -> Path:
        """Write the package into a directory."""
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            root = Path(scratch) / "package"
            self._write_files(root)
            self._write_control(root / "DEBIAN")
            target = directory / self.file_name
            # Real binaries of 300 MB are packed and unpacked many times: speed before size.
            run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", root, target)
        return target

    def _write_files(self, root: Path) -> None:
        for path, content in self.files.items():
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copy(content, target)
                continue
            data = content.encode() if isinstance(content, str) else content
            target.write_bytes(data)
            target.chmod(0o755 if data.startswith(b"#!") else 0o644)
        for path, destination in self.links.items():
            link = root / path.lstrip("/")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(destination)

    def _write_control(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        depends = (*self.depends, *(f"{name} (= {self.version})" for name in self.siblings))
        fields = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": "amd64",
            "Maintainer": _MAINTAINER,
            **({"Depends": ", ".join(depends)} if depends else {}),
            **self.relations,
            "Description": f"{self.summary}\n This package is a stand-in made by a test laboratory.",
        }
        (directory / "control").write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))
        configuration = [f"/{path.lstrip('/')}\n" for path in self.files if path.lstrip("/").startswith("etc/")]
        if configuration:
            (directory / "conffiles").write_text("".join(configuration))
        for name, body in self.scripts.items():
            script = directory / name
            script.write_text(f"#!/bin/sh\nset -e\n{body}")
            script.chmod(0o755)


def starts_units(*units: str) -> dict[str, str]:
    """Maintainer scripts as debhelper writes them for a package whose services run once installed."""
    names = " ".join(units)
    return {
        "postinst": f"""\
if [ "$1" = configure ]; then
    for unit in {names}; do deb-systemd-helper enable "$unit" >/dev/null || true; done
    if [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload >/dev/null || true
        if [ -n "$2" ]; then action=restart; else action=start; fi
        deb-systemd-invoke "$action" {names} >/dev/null || true
    fi
fi
""",
        "prerm": f"""\
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop {names} >/dev/null || true
fi
""",
        "postrm": f"""\
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi
if [ "$1" = purge ]; then for unit in {names}; do deb-systemd-helper purge "$unit" >/dev/null || true; done; fi
""",
    }
