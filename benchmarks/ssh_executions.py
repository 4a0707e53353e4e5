"""How many ssh executions a deploy costs, and how long it takes: the first run on a fresh host, and the second.

    .venv/bin/python -m benchmarks.ssh_executions [debian|ubuntu]

Makes a fresh lab host, deploys twice, prints one table. Every execution is a round trip: at 40 ms of delay a run
costs about 2.2 x 40 ms x executions more than here (docs/decisions/pyinfra.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.lab.places import INVENTORY

ROOT = Path(__file__).resolve().parents[1]
LAB = (sys.executable, "-m", "tests.lab")
STATE = Path(os.environ.get("VOICE_LAB_STATE", "/var/lib/voice-lab"))

COUNTER = """
import atexit, os, sys
from pyinfra_cli.main import cli
import paramiko
count = [0]
original = paramiko.SSHClient.exec_command
def counted(self, *arguments, **options):
    count[0] += 1
    return original(self, *arguments, **options)
paramiko.SSHClient.exec_command = counted
atexit.register(lambda: open(os.environ["EXECUTIONS_FILE"], "w").write(str(count[0])))
sys.argv[0] = "pyinfra"
cli()
"""
"""pyinfra's command line with paramiko's one way to run a command counted."""


def counted(name: str, deploy: str, *options: str, **environment: str) -> tuple[float, int, Any]:
    """One run of pyinfra on a lab host: wall seconds, ssh executions, its JSON document."""
    with tempfile.NamedTemporaryFile() as file:
        environment = {
            **os.environ,
            **environment,
            "HF_TOKEN": json.loads((STATE / "lab.json").read_text())["hub"]["token"],
            "VOICE_SECRETS_FILE": "",
            "EXECUTIONS_FILE": file.name,
        }
        words = [sys.executable, "-c", COUNTER, "--json", "--limit", name, *options, INVENTORY, deploy]
        started = time.monotonic()
        finished = subprocess.run(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        seconds = time.monotonic() - started
        return seconds, int(Path(file.name).read_text()), json.loads(finished.stdout)


def main() -> None:
    """Measure and print."""
    name = sys.argv[1] if len(sys.argv) > 1 else "debian"
    subprocess.run([*LAB, "up", name], cwd=ROOT, check=True)
    subprocess.run([*LAB, "fresh", name], cwd=ROOT, check=True)
    rows = [(which, *counted(name, "deploys/voice.py", "-y")) for which in ("first run", "second run")]
    print(f"\n{'host ' + name:<14}{'wall':>10}{'ssh executions':>18}{'changed operations':>22}")
    for which, seconds, executions, answer in rows:
        print(f"{which:<14}{seconds:>8.1f} s{executions:>18}{answer['results']['totals']['success']:>22}")


if __name__ == "__main__":
    main()
