"""Docker's own packages, and Ubuntu's, both made from the real programs that Debian builds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from runpy import run_path

from tests.lab.packages import debian
from tests.lab.packages.deb import Deb, starts_units

_PLUGINS = "usr/libexec/docker/cli-plugins"
_PLUGIN_NAMES = ("docker-buildx", "docker-compose")
_SYSTEMD = "usr/lib/systemd/system"
_RUNTIME = ("usr/bin/containerd", "usr/bin/containerd-shim", "usr/bin/containerd-shim-runc-v2", "usr/bin/ctr")

PINNED: Mapping[str, str] = run_path(str(Path(__file__).parents[3] / "group_data/all.py"))["docker_versions"]
"""What the deploys install."""

_TESTING = ("docker.io", "docker-cli", "docker-buildx", "docker-compose", "runc")
"""What Debian's testing has in nearer versions than the lab's own release."""

NEWEST = {
    "docker-ce": "5:29.8.2-1",
    "docker-ce-cli": "5:29.8.2-1",
    "containerd.io": "2.3.6-1",
    "docker-buildx-plugin": "0.37.1-1",
    "docker-compose-plugin": "5.6.0-1",
}
"""What apt takes when it is told no version, or a wrong one: packages with nothing in them."""


def vendor(revision: str) -> list[Deb]:
    """What download.docker.com offers for one release; revision as in `debian.13~trixie`."""
    source = _programs()
    versions = {name: f"{version}~{revision}" for name, version in PINNED.items()}
    return [
        *(Deb(name, f"{version}~{revision}", "A newer release, empty") for name, version in NEWEST.items()),
        _docker_ce(source, versions["docker-ce"]),
        Deb(
            "docker-ce-cli",
            versions["docker-ce-cli"],
            "Docker CLI: the open-source application container engine",
            depends=("libc6 (>= 2.34)",),
            relations={
                "Recommends": "docker-buildx-plugin, docker-compose-plugin",
                "Conflicts": "docker (<< 1.5~), docker.io, lxc-docker",
                "Replaces": "docker-ce (<< 5:0)",
            },
            files={"usr/bin/docker": source["docker-cli"] / "usr/bin/docker"},
        ),
        _containerd_io(source, versions["containerd.io"]),
        *(_plugin(source, name, f"{name}-plugin", versions[f"{name}-plugin"]) for name in _PLUGIN_NAMES),
    ]


def _released() -> dict[str, Path]:
    """Debian's packages -> their trees, those of the lab's release."""
    return {tree.name: tree for tree in debian.unpacked().iterdir()}


def _programs() -> dict[str, Path]:
    """The same, but testing's as long as its engine is the pinned one."""
    found = _released()
    testing = debian.unpacked("testing", _TESTING)
    if debian.version(testing / "docker.io") == PINNED["docker-ce"].removeprefix("5:").removesuffix("-1"):
        found |= {name: testing / name for name in _TESTING}
    return found


def _docker_ce(source: Mapping[str, Path], version: str) -> Deb:
    return Deb(
        "docker-ce",
        version,
        "Docker: the open-source application container engine",
        depends=("containerd.io (>= 1.7.27)", "docker-ce-cli", "iptables", "libsystemd0", "libc6 (>= 2.34)"),
        relations={
            "Recommends": "apparmor, ca-certificates, docker-ce-rootless-extras, git, pigz, procps, xz-utils",
            "Conflicts": "docker (<< 1.5~), docker.io, lxc-docker",
            "Replaces": "docker-engine",
        },
        files=_engine(source),
        scripts=_scripts(),
    )


def _engine(source: Mapping[str, Path]) -> dict[str, str | bytes | Path]:
    tree = source["docker.io"]
    return {
        "usr/bin/dockerd": tree / "usr/sbin/dockerd",
        "usr/bin/docker-proxy": tree / "usr/sbin/docker-proxy",
        "usr/bin/docker-init": source["tini"] / "usr/bin/tini-static",
        f"{_SYSTEMD}/docker.service": _vendor_unit(tree),
        f"{_SYSTEMD}/docker.socket": (tree / _SYSTEMD / "docker.socket").read_text(),
    }


def _scripts() -> dict[str, str]:
    scripts = starts_units("docker.socket", "docker.service")
    return {**scripts, "postinst": "getent group docker >/dev/null || groupadd --system docker\n" + scripts["postinst"]}


def _vendor_unit(tree: Path) -> str:
    """Debian's unit with the vendor's path, and without the options file that only Debian reads."""
    text = (tree / _SYSTEMD / "docker.service").read_text()
    kept = [line for line in text.splitlines() if not line.startswith("EnvironmentFile=")]
    return "\n".join(kept).replace("/usr/sbin/dockerd", "/usr/bin/dockerd").replace(" $DOCKER_OPTS", "") + "\n"


def _containerd_io(source: Mapping[str, Path], version: str) -> Deb:
    tree = source["containerd"]
    return Deb(
        "containerd.io",
        version,
        "An open and reliable container runtime",
        depends=("libc6 (>= 2.34)", "libseccomp2 (>= 2.5.0)"),
        relations=dict.fromkeys(("Provides", "Conflicts", "Replaces"), "containerd, runc"),
        files={
            **{path: tree / path for path in _RUNTIME},
            "usr/bin/runc": source["runc"] / "usr/sbin/runc",
            "etc/containerd/config.toml": 'disabled_plugins = ["cri"]\n',
            f"{_SYSTEMD}/containerd.service": (tree / _SYSTEMD / "containerd.service").read_text(),
        },
        scripts=starts_units("containerd.service"),
    )


def _plugin(source: Mapping[str, Path], debian_name: str, vendor_name: str, version: str) -> Deb:
    # No Conflicts with the distribution's plugin packages, as the vendor's have none: dpkg then
    # refuses to overwrite their file, and that is why a deploy must remove them first.
    return Deb(
        vendor_name,
        version,
        f"Docker CLI plugin {debian_name.removeprefix('docker-')}",
        relations={"Enhances": "docker-ce-cli"},
        files={f"{_PLUGINS}/{debian_name}": source[debian_name] / _PLUGINS / debian_name},
    )


def ubuntu() -> list[Deb]:
    """Docker as Ubuntu's archive packages it."""
    source = _released()
    engine = Deb(
        "docker.io",
        f"{debian.version(source['docker.io'])}-0ubuntu1~24.04.1",
        "Linux container runtime",
        depends=("containerd (>= 1.2.6-0ubuntu1~)", "iptables", "libc6 (>= 2.34)", "libsystemd0"),
        relations={
            "Recommends": "ca-certificates, git, pigz, xz-utils",
            "Suggests": "docker-buildx, docker-compose-v2",
        },
        files={"usr/bin/docker": source["docker-cli"] / "usr/bin/docker", **_engine(source)},
        scripts=_scripts(),
    )
    return [engine, _ubuntu_plugin(source, "docker-buildx"), _ubuntu_plugin(source, "docker-compose", suffix="-v2")]


def _ubuntu_plugin(source: Mapping[str, Path], name: str, *, suffix: str = "") -> Deb:
    return Deb(
        name + suffix,
        f"{debian.version(source[name])}+ds1-0ubuntu1~24.04.1",
        f"Docker CLI plugin {name.removeprefix('docker-')}",
        depends=("docker.io",),
        files={f"{_PLUGINS}/{name}": source[name] / _PLUGINS / name},
    )
