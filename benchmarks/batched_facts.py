"""What one fact for many questions saves: ssh executions of our operations and of pyinfra's own, for the same state.

    .venv/bin/python -m benchmarks.batched_facts [debian|ubuntu]

The host must be deployed. Every run is a dry one, so nothing is changed: each operation asks what it would ask on a
run that has nothing to do. What both ask first is counted apart and taken off.
"""

from __future__ import annotations

import sys

from benchmarks.ssh_executions import counted

DEPLOY = "benchmarks/batched_deploy.py"


def main() -> None:
    """Measure and print."""
    name = sys.argv[1] if len(sys.argv) > 1 else "debian"
    _, before, _ = counted(name, DEPLOY, "--dry", BATCHED="neither")
    print(f"{'operations':<12}{'how many':>10}{'ssh executions':>18}")
    for whose in ("ours", "pyinfra's"):
        _, executions, answer = counted(name, DEPLOY, "--dry", BATCHED=whose)
        print(f"{whose:<12}{len(answer['plan']):>10}{executions - before:>18}")


if __name__ == "__main__":
    main()
