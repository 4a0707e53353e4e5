"""The repository itself: no tracked file has what on_host/redaction.py finds, but for redaction_allowed.txt.

python -m tests.redaction_check [PATH...]      exits 1 if a tracked file (or one of the paths) has one
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

from on_host.redaction import Allowed, find

ROOT = Path(__file__).resolve().parents[1]
ALLOWED_FILE = Path(__file__).with_name("redaction_allowed.txt")


def read_allowed(text: str) -> Allowed:
    """The allow-list: a value or a network, two blanks, `#` and the reason a line.

    Raises:
        ValueError: if a line has no reason.
    """
    values, networks = set(), []
    for number, line in enumerate(text.splitlines(), start=1):
        value, _, reason = line.partition("  # ")
        if line.startswith("#") or not line:
            continue
        if not reason.strip():
            raise ValueError(f"{ALLOWED_FILE.name}, line {number}: no reason is given")
        if "/" in value:
            networks.append(ip_network(value))
        else:
            values.add(value)
    return Allowed(frozenset(values), tuple(networks))


def check(root: Path, names: list[str], allowed: Allowed) -> Iterator[str]:
    """A line for each finding in the files `names` below `root`, and in the names themselves."""
    for name in names:
        yield from (f"{name}: the file's name has a {each.kind}" for each in find(name, allowed))
        path = root / name
        content = path.read_bytes() if path.is_file() else b""
        if b"\0" not in content:
            text = content.decode("utf-8", errors="replace")
            yield from (f"{name}:{each.line}:{each.column}: {each.kind}" for each in find(text, allowed))


def tracked(root: Path) -> list[str]:
    """The files that git tracks below `root`."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    return [name for name in listing.stdout.split("\0") if name]


def main(arguments: list[str]) -> int:
    """Check the given files, or every tracked one; 1 when something was found."""
    names = [str(Path(name).resolve()) for name in arguments] or tracked(ROOT)
    lines = list(check(ROOT, names, read_allowed(ALLOWED_FILE.read_text(encoding="utf-8"))))
    for line in lines:
        print(line)
    if lines:
        print(f"{len(lines)} found; take them out, or say in {ALLOWED_FILE.relative_to(ROOT)} why they may stay")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
