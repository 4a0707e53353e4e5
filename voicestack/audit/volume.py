"""The weights' volume: mounted where it belongs, at every boot, and Docker not without it. Pure."""

from __future__ import annotations

from voicestack.audit.findings import DEPLOY, Finding
from voicestack.host.volume import DROP_IN, steps, unit_path
from voicestack.host.volume_state import VolumeState
from voicestack.settings.model import Settings


def volume(settings: Settings, state: VolumeState | None) -> list[Finding]:
    """What a run would do to it; why a run could not is preflight's finding. Nothing where the settings name none."""
    if state is None:
        return []
    disk, directory = settings.weights.volume, settings.weights.directory
    if not state.is_mounted:
        fix = f"attach it, then: systemctl start {unit_path(directory).rpartition('/')[2]} docker, or {DEPLOY}"
        return [Finding("volume", "fail", disk, f"is not mounted at {directory}: Docker does not start", fix)]
    said = {
        "grow": "is larger than its file system",
        "files": f"{unit_path(directory)} or {DROP_IN} is not as this clone makes it",
        "mount": "is not mounted at boot",
    }
    found = [Finding("volume", "fail", disk, said[step], DEPLOY) for step in steps(state, directory) if step in said]
    return found or [Finding("volume", "ok", disk, f"is mounted at {directory}, and Docker starts only with it")]
