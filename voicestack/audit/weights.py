"""The weights' directory against the catalog, by names and sizes. Pure."""

from __future__ import annotations

from on_host.weights.progress import size
from voicestack.audit.findings import Finding, or_ok
from voicestack.settings.model import Settings
from voicestack.weights.state import WeightsDirectory, plan

FETCH = "run deploys/weights.py"


def weights(settings: Settings, state: WeightsDirectory) -> list[Finding]:
    """What deploys/weights.py would do, and what lies there without a use."""
    directory, models = settings.weights.directory, settings.models
    todo = plan(models, state, settings.weights.keep_replaced_days)
    found = [Finding("weights", "fail", name, reason, FETCH) for name, reason in todo.fetch]
    found += [
        Finding("weights", "fail", name, f"is off its revision; the wanted one is kept in .replaced/{kept}", FETCH)
        for name, kept in todo.restore.items()
    ]
    ours = settings.weights.volume or state.is_ours
    fix = f"{FETCH}: it is moved aside" if ours else "move it elsewhere; deploys/weights.py refuses to"
    found += [
        Finding("weights", "fail", f"{directory}/{_shown(name)}", "is not in the catalog", fix) for name in todo.aside
    ]
    coming = {f"{name}-{models[name].revision[:12]}" for name, _ in todo.fetch}
    for name, left in sorted(state.staged.items()):
        if name not in coming:
            path = f"{directory}/.staging/{_shown(name)}"
            found.append(Finding("weights", "warn", path, f"{size(left.held)} of a fetch that ended", f"rm -r {path}"))
    found += [
        Finding("weights", "ok", f"{directory}/{name}", f"({size(kept.held)}) is in the catalog and not in use")
        for name, kept in state.models.items()
        if name not in models
    ]
    return or_ok(found, "weights", f"{len(models)} models", "at their revisions, by names and sizes")


def _shown(name: str) -> str:
    """A name that need not be UTF-8."""
    return name.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
