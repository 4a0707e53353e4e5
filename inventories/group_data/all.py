"""No data: the end of a run that did not read config.py, before it connects.

pyinfra takes config.py and group_data from where it is run, but this file from beside the inventory: it is read in
every run with one of these inventories.
"""

import sys
from pathlib import Path

import pyinfra
from pyinfra.api.exceptions import PyinfraError

__all__: list[str] = []

# config.py alone imports the checks. A program that reads an inventory, as tests/host does, is no run.
if pyinfra.is_cli and "voicestack.before_connecting" not in sys.modules:
    raise PyinfraError(f"run pyinfra from the repository's root: cd {Path(__file__).resolve().parents[2]}")
