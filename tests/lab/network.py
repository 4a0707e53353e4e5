"""The lab's own network: one bridge, and a way out through the controller's address."""

from __future__ import annotations

import ipaddress
import subprocess
from pathlib import Path

from tests.lab.console import run, succeeds
from tests.lab.daemon import LabError
from tests.lab.imds import PORT as IMDS_PORT
from tests.lab.places import BRIDGE, BRIDGE_ADDRESS, NETWORK, STATE

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_FORWARDING_BEFORE = STATE / "ip_forward.before"
_UPSTREAM_RESOLVERS = Path("/run/systemd/resolve/resolv.conf")

_IMDS_ADDRESS = "169.254.169.254"
"""Where EC2's hosts find their metadata service; a lab host's way there leads over the controller."""

_TO_IMDS = ("-j", "DNAT", "--to-destination", f"{BRIDGE_ADDRESS}:{IMDS_PORT}")

_RULES = (
    # Only for what comes from the lab: the controller's own metadata service stays reachable for the controller.
    ("nat", "PREROUTING", "-i", BRIDGE, "-d", _IMDS_ADDRESS, "-p", "tcp", "--dport", "80", *_TO_IMDS),
    ("nat", "POSTROUTING", "-s", NETWORK, "!", "-d", NETWORK, "-j", "MASQUERADE"),
    # A Docker on the controller sets the forward policy to DROP.
    ("filter", "FORWARD", "-i", BRIDGE, "-j", "ACCEPT"),
    ("filter", "FORWARD", "-o", BRIDGE, "-j", "ACCEPT"),
)


def ensure() -> None:
    """Bring up bridge, forwarding and rules; what is already there stays."""
    if not is_up():
        run("ip", "link", "add", BRIDGE, "type", "bridge")
    prefix = ipaddress.ip_network(NETWORK).prefixlen
    run("ip", "address", "replace", f"{BRIDGE_ADDRESS}/{prefix}", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "mtu", str(uplink_mtu()), "up")
    _enable_forwarding()
    for table, chain, *rule in _RULES:
        if not succeeds("iptables", "-w", "-t", table, "-C", chain, *rule):
            run("iptables", "-w", "-t", table, "-I", chain, *rule)


def remove() -> None:
    """Take all of it down again, also rules that a crashed run added twice."""
    for table, chain, *rule in _RULES:
        while succeeds("iptables", "-w", "-t", table, "-D", chain, *rule):
            pass
    if is_up():
        run("ip", "link", "delete", BRIDGE)
    if _FORWARDING_BEFORE.exists():
        _FORWARDING.write_text(_FORWARDING_BEFORE.read_text())
        _FORWARDING_BEFORE.unlink()


def _enable_forwarding() -> None:
    before = _FORWARDING.read_text()
    if before.strip() == "0":
        STATE.mkdir(parents=True, exist_ok=True)
        _FORWARDING_BEFORE.write_text(before)
        _FORWARDING.write_text("1\n")


def uplink_mtu() -> int:
    """The MTU of the controller's way out: a guest with a larger one loses big packets."""
    words = run("ip", "route", "get", "1.1.1.1").split()
    device = words[words.index("dev") + 1]
    return int(Path(f"/sys/class/net/{device}/mtu").read_text())


def resolv_conf() -> str:
    """Name servers that a guest can reach: the controller's own, or those behind its loopback stub."""
    candidates = (Path("/etc/resolv.conf"), _UPSTREAM_RESOLVERS)
    for path in candidates:
        text = path.read_text() if path.exists() else ""
        servers = [line.split()[1] for line in text.splitlines() if line.startswith("nameserver ")]
        reachable = [server for server in servers if not ipaddress.ip_address(server).is_loopback]
        if reachable:
            return "".join(f"nameserver {server}\n" for server in reachable)
    raise LabError(
        "no name server that a guest could reach: /etc/resolv.conf names only loopback addresses and "
        f"{_UPSTREAM_RESOLVERS} names none; put a real one into /etc/resolv.conf"
    )


def is_up() -> bool:
    """Whether the lab's bridge exists."""
    return Path(f"/sys/class/net/{BRIDGE}").exists()


def delete_interface(name: str) -> None:
    """Remove an interface that a killed guest may have left; it may also vanish by itself meanwhile."""
    subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False)
