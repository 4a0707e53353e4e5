"""Packages at versions that settings name: what a host must find in the vendors' repositories. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from voicestack.host.disks import upstream
from voicestack.host.platform import Platform, docker_versions, repositories, toolkit_versions
from voicestack.host.report import HostReport
from voicestack.settings.model import Settings


def words(settings: Settings) -> list[str]:
    """PACKAGE=VERSION for preflight.sh, without what Docker's repository adds to a version for each release."""
    dockers = settings.docker.versions if settings.docker.source == "docker" else {}
    return [f"{name}={version}" for name, version in (*toolkit_versions(settings).items(), *dockers.items())]


def sources(settings: Settings, platform: Platform) -> tuple[str, ...]:
    """The repositories that offer them, as words for preflight.sh: ADDRESS|SUITE|COMPONENTS."""
    found = (each for each in repositories(settings, platform) if each.name != "nvidia-driver")
    return tuple(f"{each.url}|{each.suite}|{each.components}" for each in found)


def findings(report: HostReport, settings: Settings) -> list[str]:
    """What keeps the host from having the pinned versions, each with its fix."""
    problems = _not_offered("nvidia_toolkit_version", toolkit_versions(settings), report)
    if settings.docker.source == "docker":
        dockers = docker_versions(settings, report.platform)
        problems += _not_offered("docker_versions", dockers, report)
        problems += _newer(dockers, report)
    return problems


def _not_offered(setting: str, versions: Mapping[str, str], report: HostReport) -> list[str]:
    if not any(name in report.offered for name in versions):
        return []  # All are installed, or the repository did not answer, which is a finding of its own.
    missing = [
        f"{name} {version} (the newest there: {report.offered.get(name, ('none',))[0]})"
        for name, version in versions.items()
        if report.installed.get(name) != version and version not in report.offered.get(name, ())
    ]
    if not missing:
        return []
    return [f"{setting}: its repository does not offer {', '.join(missing)}; name versions that it has"]


def _newer(versions: Mapping[str, str], report: HostReport) -> list[str]:
    """Engine and runtime keep data that an older one may not read: neither is put back behind anybody's back."""
    newer = [
        f"{name} {version}"
        for ours, name in (
            ("docker-ce", "docker-ce"),
            ("docker-ce", "docker.io"),
            ("containerd.io", "containerd.io"),
            ("containerd.io", "containerd"),
        )
        if (version := report.installed.get(name)) and upstream(version) > upstream(versions[ours])
    ]
    if not newer:
        return []
    return [
        f"docker_versions: the host has {', '.join(newer)}, newer than these, and an older Docker may not read its "
        "images and containers; name the host's versions or newer ones, or keep its docker.io by docker_source = "
        "'distribution'"
    ]
