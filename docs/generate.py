"""Writes what documents repeat of group_data and of the code: `.venv/bin/python -m docs.generate`.

README.md has the stack that group_data/prod.py makes as text, docs/settings.md what group_data/all.py says of every
setting, docs/architecture.md which package imports which. A unit test compares.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize

import grimp

from docs import picture
from voicestack.paths import ROOT
from voicestack.settings.load import of_group
from voicestack.settings.model import Settings

SOURCE = ROOT / "group_data" / "all.py"
LONGEST_VALUE = 60
NO_DEFAULT = re.compile(r"# (\w+) has no default: (.+)")
HEADING = re.compile(r"# --- (.+?) -+")


def settings_table() -> str:
    """A Markdown table of group_data/all.py: its sections, and every setting's name, default, and comment."""
    source = SOURCE.read_text(encoding="utf-8")
    comments = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    rows = {0: "| setting | default | |\n| --- | --- | --- |"}
    for number, comment in comments.items():
        if heading := HEADING.fullmatch(comment):
            rows[number] = f"| **{heading[1]}** | | |"
        elif none := NO_DEFAULT.fullmatch(comment):
            rows[number] = f"| `{none[1]}` | none | {none[2]} |"
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id[0] != "_":
            value = ast.get_source_segment(source, node.value) or ""
            shown = f"`{value}`" if len(value) <= LONGEST_VALUE and "\n" not in value else "see group_data/all.py"
            comment = comments.get(node.lineno, "").lstrip("# ")
            rows[node.lineno] = f"| `{node.targets[0].id}` | {shown} | {comment} |"
    return "\n".join(rows[number] for number in sorted(rows)) + "\n"


def imports() -> str:
    """A Mermaid chart of which package imports which; what follows from others is left out. Ends in a newline."""
    graph = grimp.build_graph("deploys", "voicestack", "on_host", cache_dir=None)
    names = sorted({"deploys"} | graph.find_children("voicestack") | graph.find_children("on_host"))
    for name in names:
        graph.squash_module(name)
    direct = {name: graph.find_modules_directly_imported_by(name).intersection(names) for name in names}

    def below(name: str) -> set[str]:
        return direct[name].union(*map(below, direct[name]))

    imported = frozenset[str]().union(*direct.values())
    lines = ["flowchart TB"]
    for name in names:
        arrows = sorted(direct[name].difference(*map(below, direct[name])))
        if arrows or name not in imported:
            lines.append(f"    {name}{' --> ' if arrows else ''}{' & '.join(arrows)}")
    return "\n".join(lines) + "\n"


def parts() -> dict[str, dict[str, str]]:
    """Document -> its generated parts, by name."""
    return {
        "README.md": {"stack": f"```\n{picture.drawn(of_production())}```\n"},
        "docs/settings.md": {"settings": settings_table()},
        "docs/architecture.md": {"imports": f"```mermaid\n{imports()}```\n"},
    }


def with_parts(document: str, made: dict[str, str]) -> str:
    """The document with its generated parts replaced.

    Raises:
        ValueError: it has no place for one of them.
    """
    for name, text in made.items():
        begin, end = f"<!-- {name}: made by docs/generate.py -->\n", f"<!-- end of {name} -->\n"
        before, found, rest = document.partition(begin)
        _, ended, after = rest.partition(end)
        if not (found and ended):
            raise ValueError(f"no place for {name}: it belongs between {begin.strip()} and {end.strip()}")
        document = f"{before}{begin}{text}{end}{after}"
    return document


def of_production() -> Settings:
    """group_data/all.py with prod.py over it."""
    return of_group("prod", [])


if __name__ == "__main__":
    for name, made in parts().items():
        document = ROOT / name
        document.write_text(with_parts(document.read_text(encoding="utf-8"), made), encoding="utf-8")
