"""What a host's weights directory holds, in one round trip and without hashing."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

from pyinfra.api.facts import FactBase

from on_host.weights.store import PROVENANCE
from voicestack.remote import script_file
from voicestack.weights.state import OnDisk, WeightsDirectory, read_provenance


class WeightsState(FactBase[WeightsDirectory]):
    """The directory's models, what else is in it, and what was replaced; all empty on a bare host."""

    default = WeightsDirectory

    def command(self, directory: str, names: Sequence[str]) -> str:
        """The one remote command."""
        return script_file(__file__, "state.sh", directory, " ".join(names), PROVENANCE)

    def process(self, output: Iterable[str]) -> WeightsDirectory:
        """The script's records. A name that is not UTF-8 keeps its bytes, as Python's file functions take them."""
        state = WeightsDirectory()
        current = OnDisk()
        places = {
            "model": state.models,
            "stranger": state.strangers,
            "staged": state.staged,
            "replaced": state.replaced,
        }
        text = base64.b64decode("".join(output)).decode("utf-8", errors="surrogateescape")
        for record in text.split("\0")[:-1]:
            kind, _, rest = record.partition(" ")
            if kind == "now":
                state.now = int(rest)
            elif kind == "ours":
                state.is_ours = True
            elif kind in places:
                current = places[kind][rest] = OnDisk()
            else:
                _add(current, kind, rest)
        return state


def _add(entry: OnDisk, kind: str, rest: str) -> None:
    """One record about the directory that the records before named."""
    if kind == "file":
        size, links, blocks, path = rest.split(" ", 3)
        entry.files[path] = int(size)
        # find counts blocks of 512 bytes.
        entry.held += int(blocks) * 512 if int(links) == 1 else 0
        return
    path, _, encoded = rest.partition(" ")
    content = base64.b64decode(encoded)
    if kind == "provenance":
        entry.provenance = read_provenance(content.decode("utf-8", errors="replace"))
    elif kind == "document":
        entry.documents[path] = content.decode("utf-8", errors="replace")
    elif kind == "head":
        entry.heads[path] = content
