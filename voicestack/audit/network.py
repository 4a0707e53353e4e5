"""Who listens where, and how long the site's certificate is good for. Pure."""

from __future__ import annotations

from collections.abc import Collection

from voicestack.audit.facts import Certificate, HostState
from voicestack.audit.findings import DEPLOY, Area, Finding
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
    area = Area("ports")
    ours = {(each.protocol, each.first): each for each in listeners(settings) if not each.is_range}
    own = {container.id for container in state.containers if container.service}
    for (protocol, port), one in ours.items():
        at_port = [each for each in state.listeners if (each.protocol, each.port) == (protocol, port)]
        known = (PUBLISHER,) if one.name in PUBLISHED else ()
        foreign = {each.program or "?" for each in at_port if each.container not in own and each.program not in known}
        if not at_port:
            area.fail(f"{protocol} {port}", f"nothing listens there ({one.name})")
        elif foreign:
            said = f"held by {', '.join(sorted(foreign))}, not by the stack ({one.name})"
            area.fail(f"{protocol} {port}", said, f"stop it, then {DEPLOY}")
        elif not one.is_public and not all(each.is_on_loopback for each in at_port):
            area.fail(f"{protocol} {port}", f"can be reached from outside the host ({one.name})")
    # One for each program: IPv4 and IPv6 are two sockets of the same thing.
    strange = {
        (each.protocol, each.port, each.program): each
        for each in state.listeners
        if (each.protocol, each.port) not in ours and not _is_harmless(each, own, ssh_port)
    }
    for each in strange.values():
        by = each.program or "the kernel or a process that does not say its name"
        fix = "stop it, or bind it to 127.0.0.1; until then keep the firewall closed"
        area.warn(f"{each.protocol} {each.address}", f"is open beyond this host, by {by}", fix)
    return area.or_ok(f"{len(ours)} ports", "the stack's; nobody else listens for the world")


def _is_harmless(listener: Socket, own: Collection[str], ssh_port: int) -> bool:
    if listener.is_on_loopback:
        return True
    if listener.protocol == "tcp":
        # systemd, where ssh.socket listens for it.
        return listener.program in ("sshd", "systemd") and listener.port in (22, ssh_port)
    # LiveKit's ranges, and the agent's own during a call, at ports that the kernel chose.
    return listener.container in own or (listener.port in (68, 546) and listener.program in LEASE)


def certificates(settings: Settings, state: HostState) -> list[Finding]:
    """How long the site's certificate is good for; the newest counts, as Caddy may have asked two authorities.

    One of another kind than site_acme, left from before, does not count: callers are not shown it, or trust it not.
    """
    area, domain, acme = Area("certificate"), settings.site.domain, settings.site.acme
    those = [each for each in state.certificates if _kind(each) == acme]
    if not those:
        others = sorted({_kind(each) for each in state.certificates})
        said = f"Caddy has none of the kind site_acme = {acme!r}" + (f", only {' and '.join(others)}" if others else "")
        area.fail(domain, said, "Caddy's log says why: docker logs voice-caddy-1")
        return area.findings
    newest = max(those, key=lambda each: each.ends)
    left_s = newest.ends - state.now
    fix = "Caddy's log says why it did not renew: docker logs voice-caddy-1"
    if left_s <= 0:
        area.fail(domain, f"ended {_period(-left_s)} ago", fix)
    # Caddy renews at a third of the lifetime: what is far beyond that was not renewed. Its own authority's live 12 h.
    elif left_s < min(DAYS_THAT_WORRY * DAY_S, (newest.ends - newest.begins) / 4):
        area.warn(domain, f"ends in {_period(left_s)}", fix)
    return area.or_ok(domain, f"is good for {_period(left_s)}")


def _kind(certificate: Certificate) -> str:
    """The value of site_acme that such a certificate is of; Caddy names a directory after each authority's address."""
    authority = certificate.path.rpartition("/certificates/")[2].partition("/")[0]
    if authority == "local":
        return "internal"
    return "staging" if authority.startswith("acme-staging") else "production"


def _period(seconds: int) -> str:
    return f"{seconds // DAY_S} days" if seconds >= 2 * DAY_S else f"{seconds // 3600} h {seconds % 3600 // 60} min"
