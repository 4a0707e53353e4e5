"""Docker's own packages, and Ubuntu's: real programs, as Debian builds them, and of the newest line as Go does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from runpy import run_path

from tests.lab import binaries
from tests.lab.packages import debian
from tests.lab.packages.deb import Deb, starts_units

_PLUGINS = "usr/libexec/docker/cli-plugins"
_PLUGIN_NAMES = ("docker-buildx", "docker-compose")
_SYSTEMD = "usr/lib/systemd/system"
_RUNTIME = ("containerd", "containerd-shim-runc-v2", "ctr")

PINNED: Mapping[str, str] = run_path(str(Path(__file__).parents[3] / "group_data/all.py"))["docker_versions"]
"""What the deploys install."""

_TESTING = ("docker.io", "docker-cli", "docker-buildx", "docker-compose", "runc")
"""What Debian's testing has in nearer versions than the lab's own release."""

NEWEST = {
    "docker-ce": "5:29.8.2-1",
    "docker-ce-cli": "5:29.8.2-1",
    "containerd.io": "2.4.2-1",
    "docker-buildx-plugin": "0.38.2-1",
    "docker-compose-plugin": f"{binaries.COMPOSE_VERSION}-1",
}
"""What apt takes when it is told no version, or a wrong one."""

_ENGINE = "github.com/moby/moby/v2@v2.0.0-beta.24"
"""The engine of the 29 line as its modules go, that is, by no number of 29; it is told its number here."""


def vendor(revision: str) -> list[Deb]:
    """What download.docker.com offers for one release, revision as in `debian.13~trixie`; the newest set is empty."""
    empty = (Deb(name, f"{version}~{revision}", "A newer release, empty") for name, version in NEWEST.items())
    return [*empty, *_packages(_programs(revision), PINNED, revision)]


def newest(revision: str) -> list[Deb]:
    """The same with the newest set alone, and real; its programs are built from source when first asked for."""
    return _packages({**_programs(revision), **_built()}, NEWEST, revision)


def _packages(programs: Mapping[str, Path], versions: Mapping[str, str], revision: str) -> list[Deb]:
    full = {name: f"{version}~{revision}" for name, version in versions.items()}
    return [
        _docker_ce(programs, full["docker-ce"]),
        Deb(
            "docker-ce-cli",
            full["docker-ce-cli"],
            "Docker CLI: the open-source application container engine",
            depends=("libc6 (>= 2.34)",),
            relations={
                "Recommends": "docker-buildx-plugin, docker-compose-plugin",
                "Conflicts": "docker (<< 1.5~), docker.io, lxc-docker",
                "Replaces": "docker-ce (<< 5:0)",
            },
            files={"usr/bin/docker": programs["docker"]},
        ),
        _containerd_io(programs, full["containerd.io"]),
        *(_plugin(name, programs[name], full[f"{name}-plugin"]) for name in _PLUGIN_NAMES),
    ]


def _released() -> dict[str, Path]:
    """Debian's packages -> their trees, those of the lab's release."""
    return {tree.name: tree for tree in debian.unpacked().iterdir()}


def _programs(revision: str) -> dict[str, Path]:
    """Programs and units by name: testing's as long as its engine is the pinned one, else the lab's release's."""
    trees = _released()
    testing = debian.unpacked("testing", _TESTING)
    if debian.version(testing / "docker.io") == PINNED["docker-ce"].removeprefix("5:").removesuffix("-1"):
        trees |= {name: testing / name for name in _TESTING}
    if revision.endswith("bookworm"):
        # Debian 13's wants a newer libc; the others do not.
        trees["runc"] = debian.unpacked("bookworm", ("runc",)) / "runc"
    return _by_name(trees)


def _by_name(trees: Mapping[str, Path]) -> dict[str, Path]:
    places = ("usr/bin", "usr/sbin", _PLUGINS, _SYSTEMD)
    return {file.name: file for tree in trees.values() for place in places for file in (tree / place).glob("*")}


def _built() -> dict[str, Path]:
    """The newest set, from its Go modules: a quarter of an hour on two cores, once. runc stays Debian's."""
    engine, containerd, buildx = (
        NEWEST[name].removeprefix("5:").removesuffix("-1")
        for name in ("docker-ce", "containerd.io", "docker-buildx-plugin")
    )
    told = f"-X github.com/moby/moby/v2/dockerversion.Version={engine}"
    runtime = f"github.com/containerd/containerd/v2@v{containerd}"
    return {
        "dockerd": binaries.built(f"dockerd-{engine}", _ENGINE, "dockerd", told, "-tags=exclude_graphdriver_btrfs"),
        "docker-proxy": binaries.built(f"docker-proxy-{engine}", _ENGINE, "docker-proxy"),
        "docker": binaries.docker_cli(engine),
        **{name: binaries.built(f"{name}-{containerd}", runtime, name) for name in _RUNTIME},
        "docker-buildx": binaries.built(f"buildx-{buildx}", f"github.com/docker/buildx@v{buildx}", "buildx"),
        "docker-compose": binaries.compose(),
    }


def _docker_ce(programs: Mapping[str, Path], version: str) -> Deb:
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
        files=_engine(programs),
        scripts=_scripts(),
    )


def _engine(programs: Mapping[str, Path]) -> dict[str, str | bytes | Path]:
    return {
        "usr/bin/dockerd": programs["dockerd"],
        "usr/bin/docker-proxy": programs["docker-proxy"],
        "usr/bin/docker-init": programs["tini-static"],
        f"{_SYSTEMD}/docker.service": _vendor_unit(programs["docker.service"].read_text()),
        f"{_SYSTEMD}/docker.socket": programs["docker.socket"].read_text(),
    }


def _scripts() -> dict[str, str]:
    scripts = starts_units("docker.socket", "docker.service")
    return {**scripts, "postinst": "getent group docker >/dev/null || groupadd --system docker\n" + scripts["postinst"]}


def _vendor_unit(text: str) -> str:
    """Debian's unit with the vendor's path, and without the options file that only Debian reads."""
    kept = [line for line in text.splitlines() if not line.startswith("EnvironmentFile=")]
    return "\n".join(kept).replace("/usr/sbin/dockerd", "/usr/bin/dockerd").replace(" $DOCKER_OPTS", "") + "\n"


def _containerd_io(programs: Mapping[str, Path], version: str) -> Deb:
    return Deb(
        "containerd.io",
        version,
        "An open and reliable container runtime",
        depends=("libc6 (>= 2.34)", "libseccomp2 (>= 2.5.0)"),
        relations=dict.fromkeys(("Provides", "Conflicts", "Replaces"), "containerd, runc"),
        files={
            **{f"usr/bin/{name}": programs[name] for name in (*_RUNTIME, "runc")},
            "etc/containerd/config.toml": 'disabled_plugins = ["cri"]\n',
            f"{_SYSTEMD}/containerd.service": programs["containerd.service"].read_text(),
        },
        scripts=starts_units("containerd.service"),
    )


def _plugin(name: str, program: Path, version: str) -> Deb:
    # No Conflicts with the distribution's plugin packages, as the vendor's have none: dpkg then
    # refuses to overwrite their file, and that is why a deploy must remove them first.
    return Deb(
        f"{name}-plugin",
        version,
        f"Docker CLI plugin {name.removeprefix('docker-')}",
        relations={"Enhances": "docker-ce-cli"},
        files={f"{_PLUGINS}/{name}": program},
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
        files={"usr/bin/docker": source["docker-cli"] / "usr/bin/docker", **_engine(_by_name(source))},
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
