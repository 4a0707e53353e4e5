"""A directory from which a small deploy runs against this machine, with planted secrets and nobody's own settings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from voicestack.secrets.run import SECRETS

ROOT = Path(__file__).resolve().parents[2]


INVENTORY = """
voice = [("@local", {"site_domain": "voice.example.org", "site_acme_email": "operator@example.org"})]
"""


def furnish(place: Path, deploy: str) -> None:
    """This repo's configuration and group_data with another inventory and deploy; pyinfra writes its debug log here."""
    (place / "config.py").symlink_to(ROOT / "config.py")
    (place / "group_data").symlink_to(ROOT / "group_data")
    (place / "inventory.py").write_text(INVENTORY)
    (place / "deploy.py").write_text(deploy)


def run(place: Path, *options: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """One run of pyinfra there, with no secret from the environment but `environment`'s."""
    return subprocess.run(
        [Path(sys.executable).with_name("pyinfra"), "-y", *options, "inventory.py", "deploy.py"],
        cwd=place,
        env={
            **{name: value for name, value in os.environ.items() if name not in SECRETS},
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "VOICE_LAB_STATE": "/nonexistent",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def holders(place: Path, secret: str) -> list[Path]:
    """The files below a place that have a secret in them, each of which is its owner's alone."""
    found = [path for path in place.rglob("*") if path.is_file() and secret in path.read_text(errors="replace")]
    assert not any(path.stat().st_mode & 0o077 for path in found)
    return found
