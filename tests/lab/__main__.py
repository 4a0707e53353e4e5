"""The lab's command line: `python -m tests.lab up`, and what else `--help` lists."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from tests.lab import (
    apt,
    bedrock,
    binaries,
    demo,
    hosts,
    hub,
    imds,
    machine,
    network,
    npm,
    pypi,
    readers,
    registry,
    requirements,
    ssh,
    volume,
)
from tests.lab.console import say, step
from tests.lab.daemon import Daemon, LabError
from tests.lab.disk import discard
from tests.lab.lock import locked
from tests.lab.places import BRIDGE_ADDRESS, CACHE, DESCRIPTION, HOST_ADDRESSES, STATE

_SERVICES: dict[str, Callable[[str], dict[str, object]]] = {
    "apt": apt.ensure,
    "registry": registry.ensure,
    "pypi": pypi.ensure,
    "npm": npm.ensure,
    "hub": hub.ensure,
    "bedrock": bedrock.ensure,
    "imds": imds.ensure,
}


@locked("lab")
def up(names: Sequence[str]) -> None:
    """Bring up the network, the hosts and everything they download from; what runs already stays."""
    requirements.check()
    network.ensure()
    for name in names:
        hosts.create(name)
        machine.start(name)
    services = {}
    for key, ensure in _SERVICES.items():
        with step(f"service {key}"):
            services[key] = ensure(BRIDGE_ADDRESS)
    _await(names)
    _describe(services)


@locked("lab")
def down(*, cache: bool) -> None:
    """Remove every trace, also of a run that crashed; the cache stays unless asked for."""
    for name in HOST_ADDRESSES:
        hosts.destroy(name)
    for server in _servers():
        server.stop()
    volume.remove_all()
    machine.remove_mounts()
    network.remove()
    discard(STATE)
    if cache:
        discard(CACHE)
    say("down")


@locked("lab")
def fresh(name: str, *, gpu: bool) -> None:
    """Replace one host by a new one with a new identity; everything else stays."""
    requirements.check()
    network.ensure()
    hosts.destroy(name)
    hosts.create(name, gpu=gpu)
    machine.start(name)
    _await([name])
    _describe(json.loads(DESCRIPTION.read_text()) if DESCRIPTION.exists() else {})


def _describe(services: Mapping[str, object]) -> None:
    """Write what inventory and group_data of the lab read, whole or not at all."""
    present = {
        name: {
            "address": address,
            "user": ssh.USERS[name],
            "key": str(ssh.KEY),
            "known_hosts": str(ssh.KNOWN_HOSTS),
        }
        for name, address in HOST_ADDRESSES.items()
        if machine.root_of(name).exists()
    }
    beside = DESCRIPTION.with_suffix(".new")
    beside.write_text(json.dumps({**services, "hosts": present}, indent=2) + "\n")
    beside.replace(DESCRIPTION)


def status() -> None:
    """Print what of the lab runs."""
    for name, address in HOST_ADDRESSES.items():
        running = machine.supervisor(name).pid()
        state = "absent" if not machine.root_of(name).exists() else "off" if running is None else "on"
        print(f"host {name} {address}: {state}")
    print(f"network: {'up' if network.is_up() else 'down'}")
    for server in _servers():
        pid = server.pid()
        print(f"server {server.name}: {'off' if pid is None else f'pid {pid}'}")


def _servers() -> list[Daemon]:
    """Every background process on record, so that none is forgotten, whoever started it."""
    return [Daemon(record.stem) for record in sorted((STATE / "run").glob("*.json"))]


def _await(names: Sequence[str]) -> None:
    for name in names:
        with step(f"ssh to host {name}"):
            machine.await_ssh(name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("demo", help="up, the whole deploy, and what runs where")
    command.add_argument("host", nargs="?", choices=tuple(HOST_ADDRESSES), default="debian")
    commands.add_parser("requirements", help="install what this machine needs, with apt")
    command = commands.add_parser("up", help="bring the lab up (hosts: debian, ubuntu, spare; default debian)")
    command.add_argument("hosts", nargs="*", metavar="HOST")
    command = commands.add_parser("down", help="remove every trace of it")
    command.add_argument("--cache", action="store_true", help="also what was built and downloaded")
    command = commands.add_parser("fresh", help="replace one host by a new one")
    command.add_argument("host", choices=tuple(HOST_ADDRESSES))
    command.add_argument("--no-gpu", action="store_true", help="a host without a card")
    command = commands.add_parser("volume", help="a disk of its own for a host's /models; it outlives the host")
    command.add_argument("host", choices=tuple(name for name in HOST_ADDRESSES if volume.has_slot(name)))
    command.add_argument("action", choices=("attach", "detach", "remove"), help="attach makes a blank one if need be")
    command.add_argument("--mib", type=int, default=volume.SIZE_MIB, help="its size; a smaller one is enlarged")
    commands.add_parser("livekit", help="build the LiveKit server and print where it is")
    commands.add_parser("readers", help="fetch and build what tests/render/readers reads the rendered files with")
    commands.add_parser("status", help="what runs")
    command = commands.add_parser("ssh", help="run a command on a host, or open a shell")
    command.add_argument("host", choices=tuple(HOST_ADDRESSES))
    command.add_argument("remote", nargs=argparse.REMAINDER)
    command = commands.add_parser("driver", help="what the apt repositories offer")
    command.add_argument("release", choices=("current", "newer"))
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "requirements":
            requirements.install()
        case "up":
            up(_known(arguments.hosts or ["debian"]))
        case "demo":
            up([arguments.host])
            demo.deploy(arguments.host)
            demo.show(arguments.host)
        case "down":
            down(cache=arguments.cache)
        case "fresh":
            fresh(arguments.host, gpu=not arguments.no_gpu)
        case "volume":
            _volume(arguments)
        case "livekit":
            print(binaries.livekit_server())
        case "readers":
            readers.install()
        case "status":
            status()
        case "ssh":
            words = ssh.command(arguments.host, *arguments.remote)
            os.execvp(words[0], words)  # noqa: S606  # a list of words, no shell wanted
        case "driver":
            apt.publish(newer=arguments.release == "newer")


def _volume(arguments: argparse.Namespace) -> None:
    match arguments.action:
        case "attach":
            volume.attach(arguments.host, mib=arguments.mib)
        case "detach":
            volume.detach(arguments.host)
        case "remove":
            volume.remove(arguments.host)


def _known(names: list[str]) -> list[str]:
    unknown = sorted(set(names) - set(HOST_ADDRESSES))
    if unknown:
        raise LabError(f"no such host: {', '.join(unknown)}; there are {', '.join(HOST_ADDRESSES)}")
    return names


def main() -> int:
    """Run one command; a lab error is one message, not a traceback."""
    try:
        _run(_arguments())
    except LabError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
