"""`host.data` as one typed, frozen `Settings`; every mistake in it reported at once, by key.

Keys are flat (`voxtral_port`) because pyinfra overrides data key by key; here they become sections
(`settings.voxtral.port`). This module holds no values: they stand in group_data.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pyinfra.api.exceptions import PyinfraError

from on_host.redaction import find
from voicestack.paths import ROOT
from voicestack.settings.contradictions import contradictions, outside
from voicestack.settings.group_data import flat
from voicestack.settings.model import KEYS, SECTIONS, Settings

PRIVATE = ("age identity", "private key")
"""What somebody may give where a public key belongs; no message repeats it."""

DOMAIN = "export VOICE_DOMAIN=voice.example.org, the name callers' browsers connect to"
"""How to set the one setting that has no default."""


class SettingsError(PyinfraError):
    """The settings of one or more hosts cannot work; the message names each key, its problem and the fix."""


def parse(data: Mapping[str, Any]) -> Settings:
    """`data` as Settings that do not contradict each other.

    Its keys are flat; the connectors' `ssh_*` and `eic_*` and pyinfra's own `_*` may be among them. A host that EC2 was
    asked for says its region (`eic_region`): it must be an allowed one, for all of the stack but the model runs there.

    Raises:
        SettingsError: with one line for each problem.
    """
    settings, problems = typed(data)
    problems += contradictions(settings)
    if "eic_region" in data:
        problems += outside("VOICE_REGION", data["eic_region"], settings.site.allowed_regions)
    if problems:
        raise SettingsError(report(problems))
    return settings


def typed(data: Mapping[str, Any]) -> tuple[Settings, list[str]]:
    """`data` as Settings that are each right by themselves, and a line for each key that is none.

    Raises:
        SettingsError: a value is missing or of the wrong type.
    """
    own = {key: value for key, value in data.items() if not key.startswith(("_", "ssh_", "eic_"))}
    problems = [_unknown(key) for key in sorted(own.keys() - KEYS)]
    sections = {
        name: {field: own[key] for field in section.model_fields if (key := f"{name}_{field}") in own}
        for name, section in SECTIONS.items()
    }
    try:
        return Settings.model_validate(sections), problems
    except ValidationError as error:
        raise SettingsError(report([*problems, *map(_describe, error.errors())])) from None


def of_group(group: str, overrides: list[str]) -> Settings:
    """The settings of a group of group_data, for a program that needs no host: its domain need not be known.

    Raises:
        SettingsError: with one line for each problem.
        ValueError: there is no such group, or `overrides` are not KEY=VALUE; a line for each.
    """
    settings, unknown = typed({"site_domain": "host.invalid", **flat(group, overrides)})
    if unknown:
        raise SettingsError(report(unknown))
    return settings


class _Run:
    is_checked = False


def run_is_checked() -> None:
    """Say that config.py was read: this run's settings and secrets were looked at before it connects."""
    _Run.is_checked = True


def load(host: Any) -> Settings:
    """The settings of a pyinfra host, for a deploy.

    Raises:
        SettingsError: with one line for each problem; or the run did not read config.py, so that nothing was checked
            before it connected.
    """
    if not _Run.is_checked:
        raise SettingsError(f"config.py was not read: run pyinfra from the repository's root: cd {ROOT}")
    return parse(host.data.dict())


def report(problems: list[str]) -> str:
    """Many problems as one message."""
    count = "1 setting cannot work" if len(problems) == 1 else f"{len(problems)} settings cannot work"
    return "\n".join([f"{count}; nothing was changed:", *(f"  - {problem}" for problem in problems)])


def _unknown(key: str) -> str:
    close = difflib.get_close_matches(key, KEYS, n=1)
    hint = f"did you mean {close[0]}?" if close else "remove it, or see group_data/all.py for the known ones"
    return f"{key}: no such setting; {hint}"


def _describe(detail: Any) -> str:
    section, field, *parts = detail["loc"]
    key, place = f"{section}_{field}", "".join(f"[{part!r}]" for part in parts)
    if detail["type"] == "missing" and not place:
        fix = f"{DOMAIN}, or set it in the inventory" if key == "site_domain" else "set it in group_data"
        return f"{key}: missing; {fix}"
    is_private = any(each.kind in PRIVATE for each in find(str(detail["input"])))
    shown = "" if is_private or detail["type"] == "missing" else f" (got {detail['input']!r})"
    return f"{key}{place}: {detail['msg'].removeprefix('Value error, ')}{shown}"
