"""The operations behind deploys/teardown.py: in the reverse of the order in which a deploy makes things.

Each asks the host anew and does nothing when nothing of its part is there, so a second run changes nothing, and a run
that was cut off, or a host that was never finished, is taken down from where it is.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.context import host

from voicestack.host.docker import daemon_config
from voicestack.host.ledger import LEDGER, with_apt
from voicestack.remote import Streamed, refuse, script_file
from voicestack.settings.model import Settings
from voicestack.teardown import plan, told
from voicestack.teardown.facts import Made, OnHost
from voicestack.teardown.made import DIRECTORIES, KEPT_ASIDE


def take_down(target: Host, settings: Settings) -> None:
    """Tell what goes, what stays and why; then take down what goes, if the operator confirmed it."""
    wanted, directory = settings.teardown, settings.weights.directory
    for line in told.lines(settings, on_host(target, directory, wanted.packages)):
        logger.info(f"{target.print_prefix}{line}")
    confirm(name=f"Confirm that {settings.site.domain} goes", said=wanted.confirm, domain=settings.site.domain)
    services(
        name="Stop and remove the services, the agent first when its calls are over",
        directory=directory,
        models=tuple(settings.model_path(name) for name in settings.models),
        with_packages=wanted.packages,
    )
    secrets(
        name="Delete key pairs and certificates" if wanted.secrets else "Move key pairs and certificates aside",
        directory=directory,
        delete=wanted.secrets,
    )
    # Before the files: the releases among them know images that have lost their names.
    images(name="Remove the images that were pulled and built", directory=directory)
    files(name="Remove the stack's files", directory=directory)
    if wanted.weights:
        weights(name=f"Delete the weights in {directory}", directory=directory)
    if wanted.packages:
        packages(
            name="Remove driver, toolkit, Docker and repositories",
            directory=directory,
            daemon=daemon_config(settings),
        )


def on_host(target: Host, directory: str, try_purge: bool = False) -> OnHost:
    """What is there now."""
    return target.get_fact(Made, weights=directory, try_purge=try_purge)


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
def services(directory: str, models: tuple[str, ...], with_packages: bool) -> Generator[StringCommand, None, None]:
    """No container, network or volume of the stack is left, nor what Docker made for them in the weights' directory."""
    found = on_host(host, directory)
    if found.docker == "silent" and plan.needs_docker(found, with_packages):
        yield Streamed(script_file(__file__, "docker.sh", plan.vain_wait(found, directory)))
        found = on_host(host, directory)
    containers, networks, volumes = plan.containers(found), plan.networks(found), plan.volumes(found)
    if not (containers or networks or volumes):
        host.noop("there is no container of the stack")
        return
    yield Streamed(
        script_file(__file__, "services.sh", " ".join(networks), " ".join(volumes), *models),
        _stdin="".join(f"{each.id} {each.name}\n" for each in containers),
    )


@operation()
def secrets(directory: str, delete: bool) -> Generator[StringCommand, None, None]:
    """Key pairs, certificates and environments are out of use: in KEPT_ASIDE, or deleted, there too."""
    found = on_host(host, directory)
    paths = plan.paths(found, "secrets")
    going = (*paths, *found.aside) if delete else paths
    if not going:
        host.noop("there are none")
        return
    if delete:
        yield _delete(going, KEPT_ASIDE)
    else:
        yield Streamed(script_file(__file__, "aside.sh", KEPT_ASIDE), _stdin=_lines(going))


@operation()
def files(directory: str) -> Generator[StringCommand, None, None]:
    """Of the stack's files none is left; strangers' stay where they are."""
    found = on_host(host, directory)
    paths = plan.paths(found, "always")
    if not paths and not plan.empty_directories(found):
        host.noop("there are none")
        return
    yield _delete(paths, *DIRECTORIES)


def _delete(paths: tuple[str, ...], *directories: str) -> StringCommand:
    return Streamed(script_file(__file__, "files.sh", *directories), _stdin=_lines(paths))


@operation()
def images(directory: str) -> Generator[StringCommand, None, None]:
    """None of the images that the deploys pulled or built is left, but those that others' containers run."""
    found = on_host(host, directory)
    names = plan.images(found)
    if not names:
        host.noop("there are none")
        return
    cache = "" if plan.strangers_in_docker(found) else "cache"
    yield Streamed(script_file(__file__, "images.sh", LEDGER, cache, *names))


@operation()
def weights(directory: str) -> Generator[StringCommand, None, None]:
    """None of the models is left that the fetcher brought."""
    names = plan.models(on_host(host, directory))
    if not names:
        host.noop("there are none")
        return
    yield Streamed(script_file(__file__, "weights.sh", directory), _stdin=_lines(names))


@operation()
def packages(directory: str, daemon: Mapping[str, Any]) -> Generator[StringCommand, None, None]:
    """The packages are gone that the deploys installed, and their settings, unless others need them."""
    found = on_host(host, directory, try_purge=True)
    going = plan.packages(found, daemon)
    if not going:
        host.noop(plan.obstacle(found) or "there are none")
        return
    lists = (going.unhold, going.purge, going.needed)
    words = (*(" ".join(each) for each in lists), going.daemon)
    more = (" ".join(each) for each in (going.data, going.files, going.rivals))
    yield Streamed(with_apt(__file__, "packages.sh", LEDGER, *words, *more))


def _lines(words: tuple[str, ...]) -> str:
    return "".join(f"{word}\n" for word in words)
