"""What a person is told before anything is done: what goes, what is kept aside, what stays and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from on_host.weights.progress import size
from voicestack.host.docker import DAEMON_JSON, daemon_config
from voicestack.settings.model import Settings
from voicestack.teardown import plan
from voicestack.teardown.daemon import daemon_json
from voicestack.teardown.facts import OnHost
from voicestack.teardown.made import DOCKERS_PLACE, KEPT_ASIDE, KERNEL_PARAMETERS, RECORD


def lines(settings: Settings, found: OnHost) -> list[str]:
    """One line for each kind of thing."""
    if not found.docker:
        return ["the host did not answer (see the output above)"]
    return [
        *_stack(settings, found),
        *_strangers(found),
        *_secrets(settings, found),
        *_weights(settings, found),
        *_machine(settings, found),
    ]


def _stack(settings: Settings, found: OnHost) -> Iterator[str]:
    running = plan.containers(found)
    if running:
        drain = f"; calls that are under way may go on for {settings.agent.drain_s} s"
        yield f"goes: containers {_list(each.name for each in running)}{drain}"
    if found.docker == "silent" and plan.needs_docker(found, settings.teardown.packages):
        yield "Docker does not answer: it is started, and asked then what of its own goes, and whether packages can go"
    if others := (*plan.networks(found), *plan.volumes(found)):
        yield f"goes: network and volumes {_list(others)}"
    if images := plan.images(found):
        yield f"goes: images {_list(images)}"
    if paths := (*plan.paths(found, "always"), *plan.empty_directories(found)):
        yield f"goes: files in {_list(_places(paths))}"
    if KERNEL_PARAMETERS in paths:
        yield "the kernel keeps its parameters until the next reboot"


def _strangers(found: OnHost) -> Iterator[str]:
    for image in plan.images_in_use(found):
        yield f"stays: image {image}, which a container of others runs"
    not_noted = plan.images_not_noted(found)
    for image in not_noted:
        yield f"stays: image {image}, which no deploy noted to have pulled; docker image rm removes it"
    for path in plan.strange_paths(found):
        yield f"stays, not ours: {path}"
    for stranger in plan.strangers_in_docker(found):
        if stranger not in (f"image {image}" for image in not_noted):
            yield f"stays, not ours: {stranger}"
    if found.docker == "absent" and DOCKERS_PLACE in found.directories:
        yield f"stays: {DOCKERS_PLACE}; Docker is gone, and nobody can tell what in it is whose"
    if found.shims:
        yield "containers run although Docker is gone; only a reboot ends them"


def _secrets(settings: Settings, found: OnHost) -> Iterator[str]:
    paths, gone = plan.paths(found, "secrets"), settings.teardown.secrets
    if paths:
        what = f"key pairs, certificates and environments ({_list(paths)})"
        yield f"goes for good: {what}" if gone else f"is moved to {KEPT_ASIDE}: {what}"
    if gone and (paths or found.aside):
        yield "deleting is not revoking: the agent's key pair for AWS works on until it is deleted in IAM"
    if found.aside:
        said = _list(found.aside)
        yield f"goes for good: {said}" if gone else f"stays: {said} (teardown_secrets = True deletes them)"


def _weights(settings: Settings, found: OnHost) -> Iterator[str]:
    directory = settings.weights.directory
    ours = [each for each in found.weights if each.ours]
    if ours:
        held = size(sum(each.held for each in ours))
        goes = settings.teardown.weights
        yield (
            f"goes for good: {held} of weights in {directory}: {_list(each.name for each in ours)}"
            if goes
            else f"stays: {held} of weights in {directory} (teardown_weights = True deletes them)"
        )
    for each in found.weights:
        if not each.ours:
            yield f"stays, not ours: {directory}/{each.name} ({size(each.held)})"
    if found.directories.get(directory):
        yield f"stays: the volume that is mounted on {directory}, and the unit that mounts it"


def _machine(settings: Settings, found: OnHost) -> Iterator[str]:
    wanted = daemon_config(settings)
    if not settings.teardown.packages:
        files = plan.paths(found, "packages")
        if found.packages or files:
            count = f"{len(found.packages)} packages that the deploys installed, " if found.packages else ""
            what = f"{count}repositories, holds and settings of driver, toolkit and Docker"
            yield f"stays: {what} (teardown_packages = True removes them)"
    elif found.docker == "silent" and plan.needs_docker(found, True):
        pass  # told above
    elif reason := plan.obstacle(found):
        if found.packages or plan.paths(found, "packages"):
            yield f"stays: packages, repositories and settings of driver and Docker; {reason}"
    else:
        yield from _packages(plan.packages(found, wanted))
        _, edited = daemon_json(found, wanted)
        if edited:
            yield f"stays: {DAEMON_JSON}: {edited}"
        for path in found.rivals_again:
            yield f"stays: {path}; {path.removesuffix('.before-voice')} was made anew since"
        for who in dict.fromkeys(found.needed.values()):
            yield f"stays, because {who} needs it: {_list(name for name in found.needed if found.needed[name] == who)}"
        if found.driver_loaded and any(name.startswith("nvidia-") for name in found.purge):
            yield "the driver's module stays in memory until the next reboot"
    if removed := plan.removed_before(found):
        yield f"was here before the deploys, which removed it: {_list(removed)}; apt-get install brings it back"
    yield f"stays: the record of runs, {RECORD}"


def _packages(going: plan.Packages) -> Iterator[str]:
    if going.purge:
        yield f"goes: {len(going.purge)} packages that the deploys installed: {' '.join(going.purge)}"
    if going.unhold:
        yield f"goes: the hold of {len(going.unhold)} packages"
    if going.files or going.data:
        yield f"goes: {_list((*going.files, *going.data))}"
    if going.daemon in ("goes", "comes back"):
        yield f"{going.daemon}: {DAEMON_JSON}" + (" as it was before" if going.daemon == "comes back" else "")
    if going.rivals:
        yield f"comes back: {_list(path.removesuffix('.before-voice') for path in going.rivals)}"


def _places(paths: tuple[str, ...]) -> list[str]:
    return sorted({"/".join(PurePosixPath(path).parts[:4]).replace("//", "/") for path in paths})


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)
