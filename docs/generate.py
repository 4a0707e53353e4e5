"""Writes what documents repeat of group_data and of the code: `.venv/bin/python -m docs.generate`.

README.md has the table of settings (of group_data/all.py) and the stack as text, docs/architecture.md the stack as a
chart and tables; the stack is the one that group_data/prod.py makes. A unit test compares.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

from docs import mermaid, picture
from docs.stack import stack
from voicestack.settings.group_data import flat
from voicestack.settings.load import typed
from voicestack.settings.model import Settings

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "group_data" / "all.py"
LONGEST_VALUE = 60
NO_DEFAULT = re.compile(r"^# (\w+) has no default: (.+)$", re.MULTILINE)


class NoPlaceError(ValueError):
    """A document lacks the lines between which a part belongs."""


def settings_table(source: str) -> str:
    """A Markdown table of every setting: name, default, what its comment says."""
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    rows = ["| setting | default | |", "| --- | --- | --- |"]
    rows += [f"| `{name}` | none | {text} |" for name, text in NO_DEFAULT.findall(source)]
    for node in ast.parse(source).body:
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            continue
        if (name := node.targets[0].id)[0] != "_":
            value = ast.get_source_segment(source, node.value) or ""
            shown = f"`{value}`" if len(value) <= LONGEST_VALUE and "\n" not in value else "see group_data/all.py"
            rows.append(f"| `{name}` | {shown} | {comments.get(node.lineno, '')} |")
    return "\n".join(rows) + "\n"


def parts(source: str, settings: Settings) -> dict[str, dict[str, str]]:
    """Document -> its generated parts, by name.

    Args:
        source: group_data/all.py.
        settings: whose stack is drawn.
    """
    drawn = stack(settings)
    return {
        "README.md": {"settings": settings_table(source), "stack": f"```\n{picture.drawn(drawn)}```\n"},
        "docs/architecture.md": {
            "chart": f"```mermaid\n{mermaid.chart(drawn)}```\n",
            "ports": mermaid.ports(drawn),
            "disks": mermaid.disks(drawn),
        },
    }


def with_parts(document: str, made: dict[str, str]) -> str:
    """The document with its generated parts replaced.

    Raises:
        NoPlaceError: it has no place for one of them.
    """
    for name, text in made.items():
        begin, end = f"<!-- {name}: made by docs/generate.py -->\n", f"<!-- end of {name} -->\n"
        before, found, rest = document.partition(begin)
        _, ended, after = rest.partition(end)
        if not (found and ended):
            raise NoPlaceError(f"no place for {name}: it belongs between {begin.strip()} and {end.strip()}")
        document = f"{before}{begin}{text}{end}{after}"
    return document


def of_production() -> Settings:
    """group_data/all.py with prod.py over it."""
    settings, _ = typed({"site_domain": "host.invalid", **flat("prod", [])})
    return settings


if __name__ == "__main__":
    for name, made in parts(SOURCE.read_text(encoding="utf-8"), of_production()).items():
        document = ROOT / name
        document.write_text(with_parts(document.read_text(encoding="utf-8"), made), encoding="utf-8")
