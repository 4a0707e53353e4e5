"""What becomes of Docker's daemon.json: an edit since the deploy is somebody's. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from voicestack.host.docker import CGROUP_DRIVER, merge, parse_config
from voicestack.teardown.facts import OnHost

Daemon = Literal["stays", "goes", "comes back", "forget"]
"""It is left alone; goes; the one from before comes back; only the copy of the one from before goes."""


def daemon_json(found: OnHost, wanted: Mapping[str, Any]) -> tuple[Daemon, str]:
    """What becomes of it, and why it stays if that needs a word."""
    try:
        now, before = parse_config(found.daemon_json), parse_config(found.daemon_json_before)
    except ValueError as error:
        return "stays", str(error)
    has_before = found.daemon_json_before is not None
    if found.daemon_json is None:
        return ("comes back" if has_before else "stays"), ""
    if has_before and now == before:
        return "forget", ""
    if now == merge(before, wanted):
        return ("comes back" if has_before else "goes"), ""
    return "stays", _why_it_stays(now, wanted, has_before)


def _why_it_stays(now: Mapping[str, Any], wanted: Mapping[str, Any], has_before: bool) -> str:
    """Nothing, if no deploy wrote it."""
    if merge(now, wanted) == now:
        return "was edited after the deploy wrote it; what the deploy needs of it is still in it"
    if has_before or _is_of_a_deploy(now):
        return "a deploy with other settings wrote it, or it was edited since; some of what that needed may be in it"
    return ""


def _is_of_a_deploy(config: Mapping[str, Any]) -> bool:
    """Whether it has what every deploy writes, whatever its settings."""
    runtimes, options = config.get("runtimes"), config.get("exec-opts")
    has_runtime = isinstance(runtimes, Mapping) and "nvidia" in runtimes
    return has_runtime and isinstance(options, list) and f"{CGROUP_DRIVER}=cgroupfs" in options
