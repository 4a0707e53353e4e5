"""What a person is told before anything is done. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from on_host.weights.progress import size
from voicestack.host.base import SYSCTL
from voicestack.settings.model import Settings
from voicestack.teardown.plan import KEPT_ASIDE, Takedown

REVOKING = "deleting is not revoking: the agent's key pair for AWS works on until it is deleted in IAM"


def told(settings: Settings, plan: Takedown) -> list[str]:
    """A line for each kind of thing: what goes, what is moved aside, what stays and why."""
    if not plan.docker:
        return ["the host did not answer (see the output above)"]
    wanted, directory = settings.teardown, settings.weights.directory
    drain = f"calls that are under way may go on for {settings.agent.drain_s} s"
    places = sorted({"/".join(PurePosixPath(path).parts[:4])[1:] for path in (*plan.files, *plan.empty)})
    secrets = f"key pairs, certificates and environments ({_list(plan.secrets)})"
    weights = f"{size(sum(plan.models.values()))} of weights in {directory}"
    keys = f"is moved to {KEPT_ASIDE}: {secrets}"
    aside = f"stays: {_list(plan.aside)} (teardown_secrets = True deletes them)"
    models = f"stays: {weights} (teardown_weights = True deletes them)"
    if wanted.secrets:
        keys, aside = f"goes for good: {secrets}", f"goes for good: {_list(plan.aside)}"
    if wanted.weights:
        models = f"goes for good: {weights}: {_list(plan.models)}"
    lines = {
        f"goes: containers {_list(each.name for each in plan.containers)}; {drain}": plan.containers,
        "Docker does not answer: it is started, and asked then what of its own goes": plan.needs_docker,
        f"goes: {_list(plan.of_compose)}": plan.of_compose,
        f"goes: images {_list(plan.images)}": plan.images,
        f"goes: files in {_list(places)}": places,
        "the kernel keeps its parameters until the next reboot": SYSCTL in plan.files,
        keys: plan.secrets,
        aside: plan.aside,
        REVOKING: wanted.secrets and (plan.secrets or plan.aside),
        models: plan.models,
        **{f"stays, not ours: {directory}/{name} ({size(held)})": True for name, held in plan.beside.items()},
        f"stays: the volume that is mounted on {directory}, and the unit that mounts it": plan.mounted,
        **{f"stays, not ours: {stranger}": True for stranger in (*plan.strange, *plan.strangers)},
        "stays: /var/lib/docker; Docker is gone, and nobody can tell what in it is whose": plan.docker == "gone",
        f"stays: driver, toolkit and Docker with packages, holds and files ({_list(plan.machine)})": plan.machine,
        "stays: the record of runs, /var/log/voice/runs.jsonl": True,
    }
    return [line for line, there_is in lines.items() if there_is]


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)
