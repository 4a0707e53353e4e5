"""Docker's own packages, and Ubuntu's, both made from the real programs that Debian builds."""

from __future__ import annotations

from pathlib import Path

from tests.lab.packages import debian
from tests.lab.packages.deb import Deb, starts_units

_PLUGINS = "usr/libexec/docker/cli-plugins"
_SYSTEMD = "usr/lib/systemd/system"
_RUNTIME = ("usr/bin/containerd", "usr/bin/containerd-shim", "usr/bin/containerd-shim-runc-v2", "usr/bin/ctr")
_GROUP = "getent group docker >/dev/null || groupadd --system docker\n"


def vendor(revision: str) -> list[Deb]:
    """What download.docker.com offers for one release; revision as in `debian.13~trixie`."""
    source = debian.unpacked()
    engine = f"5:{debian.version(source / 'docker.io')}-1~{revision}"
    return [
        _docker_ce(source, engine),
        Deb(
            "docker-ce-cli",
            engine,
            "Docker CLI: the open-source application container engine",
            depends=("libc6 (>= 2.34)",),
            relations={
                "Recommends": "docker-buildx-plugin, docker-compose-plugin",
                "Conflicts": "docker (<< 1.5~), docker.io, lxc-docker",
                "Replaces": "docker-ce (<< 5:0)",
            },
            files={"usr/bin/docker": source / "docker-cli/usr/bin/docker"},
        ),
        _containerd_io(source),
        _plugin(source, "docker-buildx", "docker-buildx-plugin", revision),
        _plugin(source, "docker-compose", "docker-compose-plugin", revision),
    ]


def _docker_ce(source: Path, version: str) -> Deb:
    tree = source / "docker.io"
    scripts = starts_units("docker.socket", "docker.service")
    return Deb(
        "docker-ce",
        version,
        "Docker: the open-source application container engine",
        depends=("containerd.io (>= 1.6.24)", "docker-ce-cli", "iptables", "libsystemd0", "libc6 (>= 2.34)"),
        relations={
            "Recommends": "apparmor, ca-certificates, docker-ce-rootless-extras, git, pigz, procps, xz-utils",
            "Conflicts": "docker (<< 1.5~), docker.io, lxc-docker",
            "Replaces": "docker-engine",
        },
        files={
            "usr/bin/dockerd": tree / "usr/sbin/dockerd",
            "usr/bin/docker-proxy": tree / "usr/sbin/docker-proxy",
            "usr/bin/docker-init": source / "tini/usr/bin/tini-static",
            f"{_SYSTEMD}/docker.service": _vendor_unit(tree),
            f"{_SYSTEMD}/docker.socket": (tree / _SYSTEMD / "docker.socket").read_text(),
        },
        scripts={**scripts, "postinst": _GROUP + scripts["postinst"]},
    )


def _vendor_unit(tree: Path) -> str:
    """Debian's unit with the vendor's path, and without the options file that only Debian reads."""
    text = (tree / _SYSTEMD / "docker.service").read_text()
    kept = [line for line in text.splitlines() if not line.startswith("EnvironmentFile=")]
    return "\n".join(kept).replace("/usr/sbin/dockerd", "/usr/bin/dockerd").replace(" $DOCKER_OPTS", "") + "\n"


def _containerd_io(source: Path) -> Deb:
    tree = source / "containerd"
    return Deb(
        "containerd.io",
        f"{debian.version(tree)}-1",
        "An open and reliable container runtime",
        depends=("libc6 (>= 2.34)", "libseccomp2 (>= 2.5.0)"),
        relations={
            "Provides": "containerd, runc",
            "Conflicts": "containerd, runc",
            "Replaces": "containerd, runc",
        },
        files={
            **{path: tree / path for path in _RUNTIME},
            "usr/bin/runc": source / "runc/usr/sbin/runc",
            "etc/containerd/config.toml": 'disabled_plugins = ["cri"]\n',
            f"{_SYSTEMD}/containerd.service": (tree / _SYSTEMD / "containerd.service").read_text(),
        },
        scripts=starts_units("containerd.service"),
    )


def _plugin(source: Path, debian_name: str, vendor_name: str, revision: str) -> Deb:
    # No Conflicts with the distribution's plugin packages, as the vendor's have none: dpkg then
    # refuses to overwrite their file, and that is why a deploy must remove them first.
    return Deb(
        vendor_name,
        f"{debian.version(source / debian_name)}-1~{revision}",
        f"Docker CLI plugin {debian_name.removeprefix('docker-')}",
        relations={"Enhances": "docker-ce-cli"},
        files={f"{_PLUGINS}/{debian_name}": source / debian_name / _PLUGINS / debian_name},
    )


def ubuntu() -> list[Deb]:
    """Docker as Ubuntu's archive packages it."""
    source = debian.unpacked()
    tree = source / "docker.io"
    scripts = starts_units("docker.socket", "docker.service")
    engine = Deb(
        "docker.io",
        f"{debian.version(tree)}-0ubuntu1~24.04.1",
        "Linux container runtime",
        depends=("containerd (>= 1.2.6-0ubuntu1~)", "iptables", "libc6 (>= 2.34)", "libsystemd0"),
        relations={
            "Recommends": "ca-certificates, git, pigz, xz-utils",
            "Suggests": "docker-buildx, docker-compose-v2",
        },
        files={
            "usr/bin/docker": source / "docker-cli/usr/bin/docker",
            "usr/bin/dockerd": tree / "usr/sbin/dockerd",
            "usr/bin/docker-proxy": tree / "usr/sbin/docker-proxy",
            "usr/bin/docker-init": source / "tini/usr/bin/tini-static",
            f"{_SYSTEMD}/docker.service": _vendor_unit(tree),
            f"{_SYSTEMD}/docker.socket": (tree / _SYSTEMD / "docker.socket").read_text(),
        },
        scripts={**scripts, "postinst": _GROUP + scripts["postinst"]},
    )
    return [engine, *(_ubuntu_plugin(source, *names) for names in _UBUNTU_PLUGINS)]


_UBUNTU_PLUGINS = (("docker-buildx", "docker-buildx"), ("docker-compose", "docker-compose-v2"))


def _ubuntu_plugin(source: Path, debian_name: str, ubuntu_name: str) -> Deb:
    return Deb(
        ubuntu_name,
        f"{debian.version(source / debian_name)}+ds1-0ubuntu1~24.04.1",
        f"Docker CLI plugin {debian_name.removeprefix('docker-')}",
        depends=("docker.io",),
        files={f"{_PLUGINS}/{debian_name}": source / debian_name / _PLUGINS / debian_name},
    )
