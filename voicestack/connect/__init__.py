"""How a run reaches a host.

pyinfra imports this package in every run, for its connectors, before it connects and after config.py. So it is where a
run of our deploys ends that did not read config.py: nothing was checked, group_data was not read.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import pyinfra
from pyinfra.api.exceptions import PyinfraError

from voicestack.paths import ROOT


def runs_a_deploy(words: Iterable[str]) -> bool:
    """Whether one of pyinfra's arguments is a file of this clone's deploys/."""
    return any(word.endswith(".py") and Path(word).resolve().parent == ROOT / "deploys" for word in words)


# config.py alone imports the checks.
if pyinfra.is_cli and "voicestack.before_connecting" not in sys.modules and runs_a_deploy(sys.argv[1:]):
    raise PyinfraError(f"config.py was not read: run pyinfra from the repository's root: cd {ROOT}")
