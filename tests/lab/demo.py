"""`make demo`: the main job from nothing to healthy, a call that is answered, then what runs where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.lab import ssh
from tests.lab.daemon import LabError
from tests.lab.places import DESCRIPTION, INVENTORY

ROOT = Path(__file__).resolve().parents[2]


def deploy(name: str) -> None:
    """Deploy on a lab host, and have it prove that it answers a caller."""
    run("deploys/voice.py", name)
    run("deploys/verify.py", name)


def run(program: str, name: str) -> None:
    """Run a deploy on a lab host as an operator would, with the lab Hub's token alone: no .env of this repository."""
    token = json.loads(DESCRIPTION.read_text())["hub"]["token"]
    words = [
        str(Path(sys.executable).with_name("pyinfra")),
        INVENTORY,
        program,
        "-y",
        "--limit",
        name,
    ]
    print(f"\n$ HF_TOKEN=... {' '.join(['pyinfra', *words[1:]])}\n", flush=True)
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, "HF_TOKEN": token, "VOICE_SECRETS_FILE": ""}, check=False)
    if done.returncode:
        raise LabError(f"{program} failed with exit status {done.returncode}")


def show(name: str) -> None:
    """Print what runs on the host, its card, and how to look further."""
    remote = (
        "docker ps --format 'table {{.Names}}\t{{.Status}}\t{{.Image}}\t{{.Ports}}'; echo; "
        "nvidia-smi --query-gpu=name,memory.used,memory.total --format=csv; echo; "
        "find /models -maxdepth 1 -mindepth 1 -name '[!.]*' | sort"
    )
    print(f"\nOn host {name}:\n", flush=True)
    subprocess.run(ssh.command(name, "sudo", "-n", "sh", "-c", f'"{remote}"'), check=False)
    print(f"\nLook around: .venv/bin/python -m tests.lab ssh {name}\nRemove it:   make demo-down")
