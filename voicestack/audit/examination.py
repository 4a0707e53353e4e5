"""An audit of one host: asks it everything, compares, prints, keeps the document, fails the host if it differs."""

from __future__ import annotations

import click
from pyinfra.api.host import Host

from voicestack.audit import containers, files, machine, network, release, weights
from voicestack.audit.facts import Live, asked
from voicestack.audit.findings import Audit, Finding
from voicestack.host import preflight
from voicestack.host.docker import Docker, daemon_config
from voicestack.host.nvidia import Driver
from voicestack.host.packages import Apt
from voicestack.host.volume import ask as ask_volume
from voicestack.parts import wanted_packages
from voicestack.paths import HOME
from voicestack.secrets.run import hub_token
from voicestack.settings.model import Settings
from voicestack.verify.document import Documents
from voicestack.weights.facts import WeightsState

DOCUMENTS = Documents()
"""Of this run: pyinfra works on all hosts in one process."""


def examine(host: Host, settings: Settings) -> None:
    """Audit a host; the run ends with status 1 if it is not as it should be, after every host was asked."""
    audit = Audit(settings.site.domain, findings(host, settings), settings.audit.strict)
    DOCUMENTS.add(host.name, audit.document(), settings.audit.report)
    # Like pyinfra's own words it goes to stderr: stdout is the document's with --json.
    click.echo("\n".join([f"\n{host.name}, {settings.site.domain}", *audit.lines(), ""]), err=True)
    if not audit.passed:
        # Not state.fail_hosts: it would end the run before the other hosts are asked.
        host.state.failed_hosts.add(host)


def findings(host: Host, settings: Settings) -> list[Finding]:
    """Everything that was compared, in the order of the report."""
    unanswered = [Finding("host", "fail", host.name, "did not answer (see the output above)")]
    report = preflight.ask(host, settings)
    if not report.architecture:
        return unanswered
    disk = ask_volume(host, settings)
    wanted = files.wanted_files(settings, report.platform, preflight.public_address(report, settings))
    packages = wanted_packages(settings, report.platform)
    state = host.get_fact(Live, files=asked(wanted), domain=settings.site.domain)
    if not state.now:
        return unanswered
    held = host.get_fact(WeightsState, directory=settings.weights.directory, names=tuple(settings.weights.catalog))
    return [
        *release.release(state, settings.audit.against),
        *files.files(wanted, state),
        *files.others(wanted, state),
        *files.secrets(state),
        *containers.containers(wanted[f"{HOME}/compose.yml"].content, state),
        *machine.packages(packages, host.get_fact(Apt, **packages.question())),
        *machine.docker(daemon_config(settings), host.get_fact(Docker)),
        *machine.driver(host.get_fact(Driver)),
        *machine.reboot(report.kernel, state),
        *machine.memory(settings.plan, state),
        *machine.preflight(preflight.findings(report, settings, disk, has_token=hub_token() is not None)),
        *weights.volume(settings, disk),
        *weights.weights(settings, held),
        *network.ports(settings, state, int(host.data.get("ssh_port") or 22)),
        *network.certificates(settings, state),
    ]
