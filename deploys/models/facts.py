"""What a host's weights directory holds, in one round trip and without hashing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from pyinfra.api.facts import FactBase

from deploys.models.state import OnDisk, read_provenance
from deploys.models.store import PROVENANCE

# Shell and findutils only: a bare host has no Python.
_COMMAND = """cd {directory} 2>/dev/null || exit 0
for name in {names}; do
  [ -d "$name" ] || continue
  printf 'model %s\\n' "$name"
  if [ -r "$name/{provenance}" ]; then
    printf 'provenance '; tr -d '\\n' < "$name/{provenance}"; echo
  fi
  find "$name/" -type f ! -path "$name/{provenance}" -printf 'file %s %P\\n' 2>/dev/null
done
exit 0"""


class WeightsState(FactBase[dict[str, OnDisk]]):
    """Per model directory that exists: its provenance and the sizes of its files; {} on a bare host."""

    default = dict

    def command(self, directory: str, names: Sequence[str]) -> str:
        """The one remote command."""
        words = " ".join(shlex.quote(name) for name in names)
        return _COMMAND.format(directory=shlex.quote(directory), names=words, provenance=PROVENANCE)

    def process(self, output: Iterable[str]) -> dict[str, OnDisk]:
        """The command's lines as one entry per model."""
        state: dict[str, OnDisk] = {}
        for line in output:
            kind, _, rest = line.partition(" ")
            if kind == "model":
                current = state[rest] = OnDisk(provenance=None, files={})
            elif kind == "provenance":
                current["provenance"] = read_provenance(rest)
            elif kind == "file":
                size, _, path = rest.partition(" ")
                current["files"][path] = int(size)
        return state
