"""Writes the README's settings table from group_data/all.py: `python docs/generate.py`. A unit test compares."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "group_data" / "all.py"
README = ROOT / "README.md"
BEGIN, END = "<!-- settings: made by docs/generate.py -->\n", "<!-- end of settings -->\n"
LONGEST_VALUE = 60


def settings_table(source: str) -> str:
    """A Markdown table of every setting: name, default, what its comment says."""
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    rows = ["| setting | default | |", "| --- | --- | --- |"]
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = ast.get_source_segment(source, node.value) or ""
            shown = f"`{value}`" if len(value) <= LONGEST_VALUE and "\n" not in value else "see group_data/all.py"
            rows.append(f"| `{node.targets[0].id}` | {shown} | {comments.get(node.lineno, '')} |")
    return "\n".join(rows) + "\n"


def with_table(readme: str, table: str) -> str:
    """The README with its table replaced."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table}{END}{after}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(), settings_table(SOURCE.read_text())))
