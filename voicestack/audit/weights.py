"""The weights' directory against the catalog, by names and sizes, and its volume. Pure."""

from __future__ import annotations

from on_host.weights.progress import size
from voicestack.audit.findings import DEPLOY, Area, Finding
from voicestack.host.volume import DROP_IN, steps, unit_path
from voicestack.host.volume_state import VolumeState
from voicestack.settings.model import Settings
from voicestack.weights.state import WeightsDirectory, plan

FETCH = "run deploys/weights.py"


def volume(settings: Settings, state: VolumeState | None) -> list[Finding]:
    """What a run would do to it; why a run could not is preflight's finding. Nothing where the settings name none."""
    if state is None:
        return []
    area, disk, directory = Area("volume"), settings.weights.volume, settings.weights.directory
    if not state.is_mounted:
        fix = f"attach it, then: systemctl start {unit_path(directory).rpartition('/')[2]} docker, or {DEPLOY}"
        area.fail(disk, f"is not mounted at {directory}: Docker does not start", fix)
        return area.findings
    said = {
        "grow": "is larger than its file system",
        "files": f"{unit_path(directory)} or {DROP_IN} is not as this clone makes it",
        "mount": "is not mounted at boot",
    }
    for step in steps(state, directory):
        if step in said:
            area.fail(disk, said[step])
    return area.or_ok(disk, f"is mounted at {directory}, and Docker starts only with it")


def weights(settings: Settings, state: WeightsDirectory) -> list[Finding]:
    """What deploys/weights.py would do, and what lies there without a use."""
    area, directory, models = Area("weights"), settings.weights.directory, settings.models
    todo = plan(models, state, settings.weights.keep_replaced_days)
    for name, reason in todo.fetch:
        area.fail(name, reason, FETCH)
    for name, kept in todo.restore.items():
        area.fail(name, f"is off its revision; the wanted one is kept in .replaced/{kept}", FETCH)
    ours = settings.weights.volume or state.is_ours
    fix = f"{FETCH}: it is moved aside" if ours else "move it elsewhere; deploys/weights.py refuses to"
    for name in todo.aside:
        area.fail(f"{directory}/{_shown(name)}", "is not in the catalog", fix)
    coming = {f"{name}-{models[name].revision[:12]}" for name, _ in todo.fetch}
    for name, left in sorted(state.staged.items()):
        if name not in coming:
            path = f"{directory}/.staging/{_shown(name)}"
            area.warn(path, f"{size(left.held)} of a fetch that ended", f"rm -r {path}")
    for name, unused in state.models.items():
        if name not in models:
            area.ok(f"{directory}/{name}", f"({size(unused.held)}) is in the catalog and not in use")
    return area.or_ok(f"{len(models)} models", "at their revisions, by names and sizes")


def _shown(name: str) -> str:
    """A name that need not be UTF-8."""
    return name.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")
