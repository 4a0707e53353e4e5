"""Preflight: is this a host the stack can live on? One round trip, read only, every finding at once."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network

from pyinfra import logger
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host

from voicestack import bedrock
from voicestack.gpu import advice
from voicestack.gpu.cards import card, measured
from voicestack.gpu.plan import SECOND_GPU, on_other_card
from voicestack.gpu.ram import host_memory
from voicestack.gpu.units import GIB
from voicestack.host import pins
from voicestack.host.disks import CONTAINERDS, DOCKERS, disk_needs, image_place
from voicestack.host.platform import Platform, distribution_packages, repositories
from voicestack.host.report import Disk, HostReport, Preflight
from voicestack.host.volume import ask as ask_volume
from voicestack.host.volume_state import VolumeState, refusals, size_problem
from voicestack.secrets.run import hub_token
from voicestack.settings.directory import unknown_content
from voicestack.settings.host import SUPPORTED
from voicestack.settings.model import Settings
from voicestack.settings.ports import listeners

NAT64 = ip_network("64:ff9b::/96")
"""RFC 6052: what resolvers of networks without IPv4 answer for an A record."""

ENGINES = ("docker-ce", "docker.io")


class PreflightError(PyinfraError):
    """The host cannot become the voice stack as it is; the message lists every reason."""


def require(host: Host, settings: Settings) -> HostReport:
    """Ask the host what it is, and AWS meanwhile for the language model.

    Raises:
        PreflightError: with every reason why the stack cannot live there, or would have no model to ask.
    """
    asked = bedrock.question(settings, through_ec2=hasattr(host.data, "eic_region"))
    report = ask(host, settings)
    problems = findings(report, settings, ask_volume(host, settings), has_token=hub_token() is not None)
    model = asked.answer() if asked else bedrock.Answer()
    problems += model.problems
    for note in model.notes:
        host.log(note, logger.warning)
    if problems:
        count = "1 finding" if len(problems) == 1 else f"{len(problems)} findings"
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise PreflightError(f"{host.name} failed preflight with {count}; nothing was changed:\n{lines}")
    return report


def ask(host: Host, settings: Settings) -> HostReport:
    """What a host is; empty when it did not answer."""
    question = {
        "paths": " ".join(("/", DOCKERS, CONTAINERDS, settings.weights.directory)),
        "ports": " ".join(f"{each.protocol}:{each.first}-{each.last}" for each in listeners(settings)),
        "urls": " ".join(_for_each_distribution(settings, needed_urls)),
        "packages": " ".join(_for_each_distribution(settings, distribution_packages)),
        "metadata": settings.site.imds_url if settings.site.public_address == "imds" else "",
        "models": settings.weights.directory,
        "domain": "" if settings.site.acme == "internal" else settings.site.domain,
        "sources": " ".join(_for_each_distribution(settings, pins.sources)),
        "pinned": " ".join(pins.words(settings)),
        "catalog": " ".join(settings.weights.catalog),
    }
    return host.get_fact(Preflight, question=question)


def findings(
    report: HostReport, settings: Settings, volume: VolumeState | None = None, *, has_token: bool
) -> list[str]:
    """Every reason why this host cannot become the voice stack, each with its fix; `volume`: the weights' disk."""
    if not report.architecture:
        return ["the host did not answer the preflight questions (see the output above)"]
    return [
        *_platform(report),
        *_choices(report, settings),
        *_hardware(report, settings),
        *_disks(report, settings, volume),
        *([] if volume is None else refusals(volume, settings.weights.volume, settings.weights.directory)),
        *_strangers(report, settings),
        *_sockets(report, settings),
        *_clock(report, settings),
        *_packages(report),
        *pins.findings(report, settings),
        *_network(report, settings),
        *_domain(report, settings),
        *([] if has_token else _gates(report, settings, volume)),
    ]


def images(report: HostReport, settings: Settings) -> str:
    """Where Docker keeps images: as a running one says, else by the version that the host has or will get."""
    wanted = settings.docker.versions["docker-ce"] if settings.docker.source == "docker" else ""
    versions = (*(report.installed.get(name) for name in ENGINES), wanted, report.packages.get("docker.io"))
    return report.images or image_place(next(filter(None, versions), ""))


def needed_urls(settings: Settings, platform: Platform) -> tuple[str, ...]:
    """What must answer before anything is installed: package repositories, PyPI, the Hub."""
    probes = (repository.probe_url for repository in repositories(settings, platform))
    pypi = f"{settings.pypi.index_url.rstrip('/')}/huggingface-hub/"
    a_model = next(iter(settings.models.values())).repo
    hub = () if settings.weights.source else (f"{settings.weights.endpoint}/api/models/{a_model}",)
    return (*probes, pypi, *hub)


def _for_each_distribution(settings: Settings, words: Callable[[Settings, Platform], tuple[str, ...]]) -> list[str]:
    return [
        f"{distribution}={word}"
        for distribution in SUPPORTED
        for word in words(settings, Platform.pattern(distribution))
    ]


def _platform(report: HostReport) -> list[str]:
    problems = []
    if report.release not in SUPPORTED.get(report.distribution, ()):
        name = report.pretty_name or f"{report.distribution} {report.release}".strip() or "an unknown system"
        supported = ", ".join(f"{each.title()} {' or '.join(releases)}" for each, releases in SUPPORTED.items())
        problems.append(f"{name} is not supported; use {supported}")
    if report.architecture != "x86_64":
        problems.append(f"the machine is {report.architecture}; the images and the driver are for x86_64")
    if report.init != "systemd":
        problems.append(f"process 1 is {report.init}, not systemd; Docker and the driver's services need it")
    if report.uid != 0:
        problems.append("the deploy does not run as root; connect as root or set _sudo = True in the inventory")
    return problems


def _choices(report: HostReport, settings: Settings) -> list[str]:
    """Settings that this distribution cannot fulfil."""
    if (report.distribution, report.release) == ("debian", "12") and settings.docker.source == "distribution":
        return ["Debian 12's archive has no Compose v2; set docker_source = 'docker'"]
    return []


def _hardware(report: HostReport, settings: Settings) -> list[str]:
    problems = _cards(report, settings)
    memory_gib, needed_gib = report.memory_kib / 2**20, round(memory_needed_gib(settings), 1)
    if memory_gib < needed_gib:
        problems.append(f"{memory_gib:.1f} GiB of memory; {needed_gib:g} GiB are needed (preflight_memory_gib)")
    return problems


def memory_needed_gib(settings: Settings) -> float:
    """What a host's MemTotal must be: the setting, or what the plan adds up."""
    configured = settings.preflight.memory_gib
    return host_memory(settings.plan).total / GIB if configured == "plan" else configured


def _cards(report: HostReport, settings: Settings) -> list[str]:
    """Whether the host's cards are those that the memory was planned for; without a driver, by their PCI ids alone."""
    planned = card(settings.gpu.card)
    count = 2 if settings.guard.placement == SECOND_GPU else 1
    if not report.gpus:
        return ["no NVIDIA GPU on the PCI bus; choose an instance type that has one (g6.xlarge: one L4)"]
    if len(report.gpus) < count:
        return [f"guard_placement: {SECOND_GPU}, but the host has one GPU; use gpu0, or the address of another host"]
    if planned.pci_id and set(report.gpus[:count]) != {planned.pci_id}:
        found = ", ".join(f"10de:{gpu}" for gpu in report.gpus)
        return [
            f"gpu_card: the memory is planned for {planned.name} (10de:{planned.pci_id}), the GPU is {found}; for "
            "another card set it to nvidia-smi's memory.total in MiB"
        ]
    problems = []
    for index, total_mib in enumerate(report.gpu_memory_mib[:count]):
        if total_mib < planned.total_mib:
            what = f"GPU {index} has {total_mib:,} MiB; gpu_card {planned.name} has {planned.total_mib:,}"
            unfit = advice.problems(on_other_card(settings.plan, measured(total_mib)))
            problems += [f"{what}: {problem}" for problem in unfit]
    return problems


def _disks(report: HostReport, settings: Settings, volume: VolumeState | None) -> list[str]:
    needs, problems = disk_needs(settings, images(report, settings)), []
    if volume is not None and not (volume.is_mounted and report.deployed):
        # Not what is free on it: that is less by the weights that it brings. And `df` may still see the root disk.
        needs[settings.weights.directory] = 0
        problems = size_problem(volume, settings.preflight.disk_models_gib)
    by_filesystem: dict[str, list[Disk]] = {}
    for disk in report.disks:
        if disk.path in needs:
            by_filesystem.setdefault(disk.filesystem, []).append(disk)
    for disks in by_filesystem.values():
        free = disks[0].free_kib / 2**20
        paths = ", ".join(disk.path for disk in disks)
        # What a deployed host needed is already there: only room to breathe is asked for.
        need = settings.preflight.disk_headroom_gib if report.deployed else sum(needs[disk.path] for disk in disks)
        if free < need:
            problems.append(f"{free:.1f} GiB free for {paths}; {need:g} GiB are needed (preflight_disk_*)")
    return problems


def _strangers(report: HostReport, settings: Settings) -> list[str]:
    """What lies in a weights' directory that is not known to be ours; of a volume's own the volume's findings tell."""
    if settings.weights.volume or not report.strangers or report.models_are_ours:
        return []
    return [unknown_content(settings.weights.directory, report.strangers)]


def _sockets(report: HostReport, settings: Settings) -> list[str]:
    if "ss" in report.missing_tools:
        return ["the program ss is missing, so ports cannot be checked; apt-get install iproute2"]
    published = " ".join(report.containers.values())
    foreign: dict[str, list[str]] = {}
    for socket in report.sockets:
        is_ours = socket.container in report.containers or (
            socket.program == "docker-proxy" and f":{socket.port}->" in published
        )
        if not is_ours:
            where = f"{socket.protocol} {socket.address}"
            foreign.setdefault(socket.program or "an unknown program", []).append(where)
    return [
        f"{program} already listens on {', '.join(sorted(set(places)))}; stop it or choose other ports"
        for program, places in sorted(foreign.items())
    ]


def _clock(report: HostReport, settings: Settings) -> list[str]:
    skew = report.clock - report.asked_at
    if not report.asked_at or abs(skew) <= settings.preflight.clock_skew_s:
        return []
    direction = "ahead of" if skew > 0 else "behind"
    return [f"the clock is {abs(skew)} s {direction} this machine's; enable NTP (timedatectl set-ntp true)"]


def _packages(report: HostReport) -> list[str]:
    problems = []
    if report.dpkg_faults:
        faults = "; ".join(report.dpkg_faults)
        fix = (
            "remove the entry in /etc/apt/sources.list.d that is not ours (voice-*.sources)"
            if "Signed-By" in faults
            else "mend what it names, until `apt-get check` on the host finds nothing"
        )
        problems.append(f"apt or dpkg is broken ({faults}); {fix}")
    if report.archive_faults:
        problems.append(f"the distribution's archive does not answer: {'; '.join(report.archive_faults)}")
    for package, version in report.packages.items():
        if version in ("", "(none)"):
            other = "docker_source = 'docker'" if package in ENGINES else "nvidia_source = 'nvidia'"
            hint = (
                "boot a kernel the archive still has (apt-get dist-upgrade, then reboot)"
                if report.kernel in package
                else f"enable the archive's components, or set {other}"
            )
            problems.append(f"the archive has no package {package}; {hint}")
    return problems


def _network(report: HostReport, settings: Settings) -> list[str]:
    problems = [
        f"{url} cannot be used from the host ({answer or 'no answer'}); check DNS, routes, proxy and firewall"
        for url, answer in report.urls.items()
        if not answer.startswith(("2", "3", "401"))
    ]
    if settings.site.public_address == "imds":
        try:
            ip_address(report.public_address)
        except ValueError:
            problems.append("EC2's metadata service names no public address; set site_public_address to the host's own")
    return problems


def _domain(report: HostReport, settings: Settings) -> list[str]:
    """Whether Let's Encrypt will find this host by its name."""
    if report.domain_addresses is None:
        return []
    domain, address = settings.site.domain, public_address(report, settings)
    fix = f"make the A record {domain} -> {address or 'the public address of the host'}"
    if not report.domain_addresses:
        return [f"site_domain: {domain} (VOICE_DOMAIN) has no address that the host can see; {fix}"]
    if not address:
        return []
    here = {ip_address(each) for each in (address, *report.own_addresses)}
    # On loopback it is the host's own /etc/hosts that answers; NAT64 is the A record, seen by a network without IPv4.
    astray = [
        each
        for each in map(ip_address, report.domain_addresses)
        if each not in here and not each.is_loopback and each not in NAT64
    ]
    if not astray:
        return []
    aaaa = (
        "; Let's Encrypt and browsers try IPv6 first: delete the AAAA record, or point it to the host"
        if any(each.version == 6 for each in astray)
        else ""
    )
    found = ", ".join(map(str, astray))
    return [f"site_domain: {domain} (VOICE_DOMAIN) leads to {found}, which is not this host; {fix}, alone{aaaa}"]


def _gates(report: HostReport, settings: Settings, volume: VolumeState | None) -> list[str]:
    if settings.weights.source:
        return []
    there = report.models | (volume.models if volume is not None else frozenset())
    missing = [model.repo for name, model in settings.models.items() if model.gated and name not in there]
    if not missing:
        return []
    return [f"{', '.join(missing)} is gated and not on the host yet; set HF_TOKEN where pyinfra runs"]


def public_address(report: HostReport, settings: Settings) -> str:
    """The address callers' media goes to: the configured one, or what EC2's metadata service said."""
    configured = settings.site.public_address
    return report.public_address if configured == "imds" else configured
