"""Somebody at a terminal in a clone of this repository, who types what the documents say."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.documented import ROOT

_NOT_CLONED = (".git", ".venv*", ".env", ".artefacts", ".*_cache", "__pycache__", "backups")
_END = "\x04"
"""Who waits for more than was answered sees the terminal's end, and the test does not hang."""


class Operator:
    """A clone with the operator's own group_data/prod.py, a home, and nobody else's AWS_ and VOICE_ variables."""

    def __init__(self, place: Path, settings: str, environment: Mapping[str, str]) -> None:
        self.clone, self.home = place / "clone", place / "home"
        shutil.copytree(ROOT, self.clone, ignore=shutil.ignore_patterns(*_NOT_CLONED))
        (self.clone / ".venv").symlink_to(sys.prefix)
        self.home.mkdir()
        self.settings = self.clone / "group_data" / "prod.py"
        self.settings.write_text(settings, encoding="utf-8")
        others = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "VOICE_"))}
        self.environment = {**others, "HOME": str(self.home), "VOICE_SECRETS_FILE": "", **environment}

    def types(self, command: str, answer: str = "\n") -> subprocess.CompletedProcess[str]:
        """The end of a command; what it asks at the terminal is answered so."""
        controller, terminal = pty.openpty()
        try:
            os.write(controller, (answer + _END).encode())
            return subprocess.run(
                ["bash", "-o", "pipefail", "-c", command],
                cwd=self.clone,
                env=self.environment,
                stdin=terminal,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            os.close(terminal)
            os.close(controller)

    def succeeds(self, command: str, answer: str = "\n") -> str:
        """What a command prints that must end well."""
        finished = self.types(command, answer)
        printed = finished.stdout + finished.stderr
        assert finished.returncode == 0, f"$ {command}\n{printed[-6000:]}"
        return printed

    def exports(self, command: str) -> None:
        """`export NAME=VALUE ...`: for every later command; bash reads it, and says what the variables are then."""
        variables = [word.partition("=")[0] for word in command.split()[1:]]
        for name in variables:
            line = f'{command}; printf %s "${name}"'
            self.environment[name] = self.types(line).stdout
