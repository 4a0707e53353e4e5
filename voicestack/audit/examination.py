"""An audit of one host: asks it everything, compares, prints, keeps the document, fails the host if it differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from pyinfra.api.host import Host

from voicestack.audit import containers, files, machine, network, release, volume, weights
from voicestack.audit.facts import HostState, Live, asked
from voicestack.audit.findings import Audit, Finding
from voicestack.audit.wanted import Wanted, wanted
from voicestack.host import preflight
from voicestack.host.docker import Docker, daemon_config
from voicestack.host.nvidia import Driver
from voicestack.host.packages import Apt
from voicestack.host.report import HostReport
from voicestack.host.volume import ask as ask_volume
from voicestack.host.volume_state import VolumeState
from voicestack.paths import HOME, STATE
from voicestack.secrets.run import hub_token
from voicestack.settings.model import Settings
from voicestack.verify.document import write
from voicestack.weights.facts import WeightsState

DOCUMENTS: dict[str, Mapping[str, Any]] = {}
"""Of this run, by host: pyinfra works on all of them in one process."""


def examine(host: Host, settings: Settings) -> None:
    """Audit a host; the run ends with status 1 if it is not as it should be, after every host was asked."""
    audit = Audit(settings.site.domain, findings(host, settings), settings.audit.strict)
    DOCUMENTS[host.name] = audit.document()
    write(settings.audit.report, DOCUMENTS)
    # Like pyinfra's own words it goes to stderr: stdout is the document's with --json.
    click.echo("\n".join([f"\n{host.name}, {settings.site.domain}", *audit.lines(), ""]), err=True)
    if not audit.passed:
        # Not state.fail_hosts: it would end the run before the other hosts are asked.
        host.state.failed_hosts.add(host)


def findings(host: Host, settings: Settings) -> list[Finding]:
    """Everything that was compared, in the order of the report."""
    report = preflight.ask(host, settings)
    if not report.architecture:
        return [Finding("host", "fail", host.name, "did not answer (see the output above)")]
    disk = ask_volume(host, settings)
    clone = wanted(settings, report.platform, preflight.public_address(report, settings))
    state = host.get_fact(Live, files=asked(clone.files), home=HOME, state=STATE, domain=settings.site.domain)
    if not state.now:
        return [Finding("host", "fail", host.name, "did not answer (see the output above)")]
    return [
        *release.release(state.runs, settings.audit.against, at_work=state.at_work, in_use=state.release),
        *files.files(clone.files, state),
        *files.others(clone.files, state),
        *files.secrets(state),
        *containers.containers(clone.services, state),
        *_machine(host, settings, clone, state, report, disk),
        *volume.volume(settings, disk),
        *weights.weights(settings, host.get_fact(WeightsState, **_weights(settings))),
        *network.ports(settings, state, int(host.data.get("ssh_port") or 22)),
        *network.certificates(settings, state),
    ]


def _machine(
    host: Host, settings: Settings, clone: Wanted, state: HostState, report: HostReport, disk: VolumeState | None
) -> list[Finding]:
    return [
        *machine.packages(clone.packages, host.get_fact(Apt, **clone.packages.question())),
        *machine.docker(daemon_config(settings), host.get_fact(Docker)),
        *machine.driver(host.get_fact(Driver)),
        *machine.reboot(state),
        *machine.memory(settings.plan, state),
        *machine.preflight(preflight.findings(report, settings, disk, has_token=hub_token() is not None)),
    ]


def _weights(settings: Settings) -> dict[str, Any]:
    return {"directory": settings.weights.directory, "names": tuple(settings.weights.catalog)}
