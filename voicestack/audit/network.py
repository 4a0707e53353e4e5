"""Who listens where, and how long the site's certificate is good for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from voicestack.audit.facts import Certificate, HostState
from voicestack.audit.findings import DEPLOY, Finding, or_ok
from voicestack.host.report import Socket
from voicestack.settings.model import Settings
from voicestack.settings.ports import listeners

PUBLISHER = "docker-proxy"
"""Docker's own process, which listens for containers with published ports: for whose, it does not say."""

PUBLISHED = ("voxtral_port", "guard_port")
"""What of ours it listens for; the other services are in the host's own network (templates/compose.yml.j2)."""

LEASE = ("systemd-network", "dhclient", "NetworkManager")
"""Who keeps the lease of the host's address, at UDP 68 and 546; the kernel cuts names at 15 characters."""

DAYS_THAT_WORRY = 14
DAY_S = 86_400


def ports(settings: Settings, state: HostState, ssh_port: int) -> list[Finding]:
    """Ports of ours that nobody or somebody else listens on, or that the world can reach; strangers' open ports."""
    ours = {(each.protocol, each.first): each for each in listeners(settings) if not each.is_range}
    own = {container.id for container in state.containers if container.service}
    found = []
    for (protocol, port), one in ours.items():
        at_port = [each for each in state.listeners if (each.protocol, each.port) == (protocol, port)]
        found += _one_of_ours(f"{protocol} {port}", one.name, at_port, own, is_public=one.is_public)
    found += [
        _stranger(each)
        for each in _unique(state.listeners)
        if (each.protocol, each.port) not in ours
        and not each.is_on_loopback
        and not _is_media(each, own)
        and not _is_known(each, ssh_port)
    ]
    return or_ok(found, "ports", f"{len(ours)} ports", "the stack's; nobody else listens for the world")


def _one_of_ours(port: str, name: str, at_port: Sequence[Socket], own: set[str], *, is_public: bool) -> list[Finding]:
    if not at_port:
        return [Finding("ports", "fail", port, f"nothing listens there ({name})", DEPLOY)]
    ours = (PUBLISHER,) if name in PUBLISHED else ()
    foreign = {each.program or "?" for each in at_port if each.container not in own and each.program not in ours}
    if foreign:
        said = f"held by {', '.join(sorted(foreign))}, not by the stack ({name})"
        return [Finding("ports", "fail", port, said, f"stop it, then {DEPLOY}")]
    if not is_public and not all(each.is_on_loopback for each in at_port):
        return [Finding("ports", "fail", port, f"can be reached from outside the host ({name})", DEPLOY)]
    return []


def _is_media(listener: Socket, own: set[str]) -> bool:
    """A UDP socket of the stack's: LiveKit's ranges, and the agent's own during a call, at ports the kernel chose."""
    return listener.protocol == "udp" and listener.container in own


def _is_known(listener: Socket, ssh_port: int) -> bool:
    if listener.protocol == "tcp":
        # systemd, where ssh.socket listens for it.
        return listener.program in ("sshd", "systemd") and listener.port in (22, ssh_port)
    return listener.port in (68, 546) and listener.program in LEASE


def _stranger(listener: Socket) -> Finding:
    said = f"is open beyond this host, by {listener.program or 'the kernel or a process that does not say its name'}"
    fix = "stop it, or bind it to 127.0.0.1; until then keep the firewall closed"
    return Finding("ports", "warn", f"{listener.protocol} {listener.address}", said, fix)


def _unique(listeners: Sequence[Socket]) -> list[Socket]:
    """One for each protocol, port and program: IPv4 and IPv6 are two sockets of the same thing."""
    found: dict[tuple[str, int, str, bool], Socket] = {}
    for each in listeners:
        found.setdefault((each.protocol, each.port, each.program, each.is_on_loopback), each)
    return list(found.values())


def certificates(settings: Settings, state: HostState) -> list[Finding]:
    """How long the site's certificate is good for; the newest counts, as Caddy may have asked two authorities.

    One of another kind than site_acme, left from before, does not count: callers are not shown it, or trust it not.
    """
    domain, acme = settings.site.domain, settings.site.acme
    those = [each for each in state.certificates if _kind(each) == acme]
    newest = max(those, key=lambda each: each.ends, default=None)
    if newest is None:
        others = sorted({_kind(each) for each in state.certificates})
        said = f"Caddy has none of the kind site_acme = {acme!r}" + (f", only {' and '.join(others)}" if others else "")
        return [Finding("certificate", "fail", domain, said, "Caddy's log says why: docker logs voice-caddy-1")]
    return [_judged(domain, newest, state.now)]


def _kind(certificate: Certificate) -> str:
    """The value of site_acme that such a certificate is of; Caddy names a directory after each authority's address."""
    authority = certificate.path.rpartition("/certificates/")[2].partition("/")[0]
    if authority == "local":
        return "internal"
    return "staging" if authority.startswith("acme-staging") else "production"


def _judged(domain: str, certificate: Certificate, now: int) -> Finding:
    left_s = certificate.ends - now
    # Caddy renews at a third of the lifetime: what is far beyond that was not renewed. Its own authority's live 12 h.
    worry_s = min(DAYS_THAT_WORRY * DAY_S, (certificate.ends - certificate.begins) / 4)
    fix = "Caddy's log says why it did not renew: docker logs voice-caddy-1"
    if left_s <= 0:
        return Finding("certificate", "fail", domain, f"ended {_period(-left_s)} ago", fix)
    if left_s < worry_s:
        return Finding("certificate", "warn", domain, f"ends in {_period(left_s)}", fix)
    return Finding("certificate", "ok", domain, f"is good for {_period(left_s)}")


def _period(seconds: int) -> str:
    return f"{seconds // DAY_S} days" if seconds >= 2 * DAY_S else f"{seconds // 3600} h {seconds % 3600 // 60} min"
