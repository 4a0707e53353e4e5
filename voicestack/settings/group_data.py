"""group_data as pyinfra merges it, for the programs that read settings without a pyinfra run."""

from __future__ import annotations

import ast
import runpy
from typing import Any

from voicestack.paths import ROOT

DIRECTORY = ROOT / "group_data"


def flat(group: str, overrides: list[str]) -> dict[str, Any]:
    """The flat settings: the defaults, the group's, then KEY=VALUE from the command line.

    Raises:
        ValueError: there is no such group, or overrides are not KEY=VALUE; a line for each.
    """
    problems = [f"--data {each}: not KEY=VALUE" for each in overrides if "=" not in each]
    if not (DIRECTORY / f"{group}.py").is_file():
        problems.insert(0, f"--group {group}: there is no group_data/{group}.py")
    if problems:
        raise ValueError("\n".join(problems))
    data: dict[str, Any] = {}
    for name in ("all", group):
        values = runpy.run_path(str(DIRECTORY / f"{name}.py"))
        data |= {key: value for key, value in values.items() if not key.startswith("_")}
    for override in overrides:
        key, _, value = override.partition("=")
        data[key] = _value(value)
    return data


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
