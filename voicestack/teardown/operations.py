"""The operations behind deploys/teardown.py: in the reverse of the order in which a deploy makes things.

Each asks the host anew and does nothing when nothing of its part is there, so a second run changes nothing, and a run
that was cut off, or a host that was never finished, is taken down from where it is.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import NamedTuple

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.context import host

from voicestack import parts
from voicestack.paths import HOME, STATE
from voicestack.remote import Streamed, refuse, script_file
from voicestack.settings.model import Settings
from voicestack.teardown.plan import KEPT_ASIDE, Takedown, read
from voicestack.teardown.told import told


class StackOnHost(FactBase[list[str]]):
    """What a host has of what the deploys make, as state.sh prints it, in one ssh execution; judged in plan.py."""

    default = list

    def command(self, trees: str, others: str, weights: str, images: str) -> str:
        """The script with its arguments."""
        return script_file(__file__, "state.sh", f"{HOME} {STATE}", trees, others, weights, KEPT_ASIDE, images)

    def process(self, output: list[str]) -> list[str]:
        """The lines as they are."""
        return output


class Step(NamedTuple):
    """A script, its arguments, and what it takes away, a line each; it is not called when there is nothing."""

    script: str
    arguments: Iterable[str]
    going: Iterable[str]


def take_down(target: Host, settings: Settings) -> None:
    """Tell what goes, what stays and why; then take down what goes, if the operator confirmed it."""
    plan = examine(target, settings)
    for line in told(settings, plan):
        logger.info(f"{target.print_prefix}{line}")
    site = settings.site.domain
    confirm(name=f"Confirm that {site} goes", said=settings.teardown.confirm, domain=site)
    for name in steps(settings, plan):
        take(name=name, step=name, settings=settings)


def examine(target: Host, settings: Settings) -> Takedown:
    """What is there now, and what becomes of it."""
    known = parts.patterns(parts.stack_files(settings))
    inside = {path for path in known if path.startswith((f"{HOME}/", f"{STATE}/"))}
    image = settings.image
    found = target.get_fact(
        StackOnHost,
        trees=" ".join(path for path in inside if path.endswith("/")),
        others=" ".join([*(path for path in known if path not in inside), *parts.machine_files(settings)]),
        weights=settings.weights.directory,
        images=" ".join((image.livekit, image.caddy, image.vllm_voxtral, image.vllm_guard, image.agent_base)),
    )
    return read(found, known)


def steps(settings: Settings, plan: Takedown) -> Mapping[str, Step]:
    """What there is to do, in its order, by its line in the run's story."""
    wanted, directory = settings.teardown, settings.weights.directory
    containers = (f"container {each.id} {each.name}" for each in plan.containers)
    found = {
        "Start Docker if it does not answer: it alone can stop containers": Step(
            "docker.sh", [plan.wait], ["docker"] if plan.needs_docker else []
        ),
        "Stop and remove the services, the agent first when its calls are over": Step(
            "services.sh", map(settings.model_path, settings.models), (*containers, *plan.of_compose)
        ),
    }
    if wanted.secrets:
        deleted = (*plan.secrets, *plan.aside)
        found["Delete key pairs and certificates"] = Step("delete.sh", ["", KEPT_ASIDE], deleted)
    else:
        found["Move key pairs and certificates aside"] = Step("aside.sh", [KEPT_ASIDE], plan.secrets)
    # Before the files, which name them.
    cache = "" if plan.strangers else "cache"
    found["Remove the images that were pulled and built"] = Step("images.sh", [cache], plan.images)
    found["Remove the stack's files"] = Step("delete.sh", ["", *plan.directories], (*plan.files, *plan.empty))
    if wanted.weights:
        models = (f"{directory}/{name}" for name in plan.models)
        found[f"Delete the weights in {directory}"] = Step(
            "delete.sh", [directory, f"{directory}/.replaced", directory], models
        )
    return found


@operation()
def confirm(said: str, domain: str) -> Generator[StringCommand, None, None]:
    """The host fails here, unchanged, unless the operator said the site's name."""
    if said == domain:
        host.noop(f"teardown_confirm is {domain}")
        return
    yield refuse(
        f"nothing was changed. What goes and what stays is listed above; to do it, say --data teardown_confirm={domain}"
    )


@operation()
def take(step: str, settings: Settings) -> Generator[StringCommand, None, None]:
    """What the step takes away is gone, as far as the host has it now."""
    script, arguments, going = steps(settings, examine(host, settings))[step]
    if stdin := "".join(f"{each}\n" for each in going):
        yield Streamed(script_file(__file__, script, *arguments), _stdin=stdin)
    else:
        host.noop("there is nothing of it")
