"""The images the lab's registry serves, under the names and layouts of the real ones.

Real: the Caddy and LiveKit binaries. Stand-ins: every base system (Debian packages in the place of Alpine and of
Docker's python image) and vLLM (tests/lab/vllm). Each image says so in its label.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.lab import binaries
from tests.lab.disk import files_below
from tests.lab.layers import File, Layer, Link, debian, files

_LABEL = "io.voice-lab.stand-in"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_VLLM = Path(__file__).with_name("vllm")
_STAGES = "/usr/local/lib/python3.12/dist-packages/vllm_omni/model_executor/stage_configs/voxtral_tts.yaml"
_LAUNCHER = b"""#!/usr/bin/python3
import sys

sys.path.insert(0, "/opt/stand-in")
from vllm_stand_in.cli import main

sys.exit(main(sys.argv[1:]))
"""
_APPLETS = (
    'for applet in $("$1/usr/bin/busybox" --list); do '
    '[ -e "$1/usr/bin/$applet" ] || ln -s busybox "$1/usr/bin/$applet"; done'
)
_NET_BIND_SERVICE = "\x01\x00\x00\x02" + "\x00\x04\x00\x00" + "\x00" * 12
"""cap_net_bind_service=+ep, which the vendor's image gives its binary: started without that capability, exec fails."""
_CADDYFILE = b":80 {\n\troot * /usr/share/caddy\n\tfile_server\n}\n"


@dataclass(frozen=True)
class Image:
    """An image: its layers, and the `config` part of its configuration."""

    repository: str
    tag: str
    layers: list[Layer]
    settings: Mapping[str, object]

    @property
    def config(self) -> bytes:
        """What describes it to who runs it."""
        config = {
            "architecture": "amd64",
            "os": "linux",
            "created": "2023-11-14T22:13:20Z",
            "config": self.settings,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in self.layers]},
        }
        return json.dumps(config, sort_keys=True).encode()

    @property
    def manifest(self) -> bytes:
        """What describes it to who fetches it."""
        kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "digest": digest(self.config),
                "size": len(self.config),
            },
            "layers": [{"mediaType": kind, "digest": layer.digest, "size": layer.size} for layer in self.layers],
        }
        return json.dumps(manifest, sort_keys=True).encode()

    @property
    def name(self) -> str:
        """The name people write: caddy:2.11.7-alpine."""
        return f"{self.repository.removeprefix('library/')}:{self.tag}"

    @property
    def digest(self) -> str:
        """What a pin by digest names."""
        return digest(self.manifest)


MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def digest(content: bytes) -> str:
    """The registry's name for these bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def all_images() -> list[Image]:
    """Every image of the lab; what is not in the cache is built."""
    return [_python(), _vllm(), _caddy(), _livekit()]


def _authorities() -> dict[str, File | Link]:
    """The controller's certificate bundle: package indexes may answer through a proxy that only it trusts."""
    return {_BUNDLE: File(Path(_BUNDLE))}


def _alpine(*packages: str) -> Layer:
    """Something of Alpine's size and tools: static busybox with all its applets, and nothing else of Debian's."""
    return debian(["base-files", "busybox-static", *packages], variant="extract", hook=_APPLETS)


def _alpine_files() -> dict[str, File | Link]:
    return {
        "/etc/passwd": File(b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"),
        "/etc/group": File(b"root:x:0:\nnobody:x:65534:\n"),
        **_authorities(),
    }


def _python() -> Image:
    """python:3.13-slim-trixie: Debian's own Python 3.13 under the real image's paths."""
    names = {"python": "python3.13", "python3": "python3.13", "python3.13": "python3.13", "pip": "pip3", "pip3": "pip3"}
    base = debian(
        ["ca-certificates", "netbase", "python3", "python3-pip", "python3-venv", "tzdata"],
        hook='rm "$1"/usr/lib/python3.*/EXTERNALLY-MANAGED',  # pip is free to install in the real image
    )
    links = {f"/usr/local/bin/{name}": Link(f"/usr/bin/{target}") for name, target in names.items()}
    return Image(
        "library/python",
        "3.13-slim-trixie",
        [base, files("python", {**links, **_authorities()})],
        {
            "Env": [_PATH, "PYTHON_VERSION=3.13"],
            "Cmd": ["python3"],
            "Labels": {_LABEL: "Debian 13 with its own Python 3.13"},
        },
    )


def _vllm() -> Image:
    """vllm/vllm-omni:v0.18.0: the stand-in program; no entrypoint and no command, as the real one."""
    base = debian(["ca-certificates", "curl", "espeak-ng", "python-is-python3", "python3", "python3-yaml"])
    program: dict[str, File | Link] = {
        f"/opt/stand-in/vllm_stand_in/{path.name}": File(path)
        for path in files_below(_VLLM)
        if path.name != "voxtral_tts.yaml"
    }
    # A file laid over the package's own one takes effect here as it does there.
    program["/opt/stand-in/vllm_stand_in/voxtral_tts.yaml"] = Link(_STAGES)
    program[_STAGES] = File(_VLLM / "voxtral_tts.yaml")
    commands = {f"/usr/local/bin/{name}": File(_LAUNCHER, 0o755) for name in ("vllm", "vllm-omni")}
    return Image(
        "vllm/vllm-omni",
        "v0.18.0",
        [base, files("vLLM stand-in", {**program, **commands, **_authorities(), "/workspace/vllm-omni/": File(b"")})],
        {
            "Env": [_PATH, "NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"],
            "WorkingDir": "/workspace/vllm-omni",
            "Labels": {_LABEL: "no vLLM inside: it imitates the command line, checks and HTTP answers of 0.18"},
        },
    )


def _caddy() -> Image:
    """caddy:2.11.7-alpine: the real binary in the vendor's layout."""
    content: dict[str, File | Link] = {
        "/usr/bin/caddy": File(binaries.caddy(), 0o755, _NET_BIND_SERVICE),
        "/etc/caddy/Caddyfile": File(_CADDYFILE),
        "/usr/share/caddy/index.html": File(b"<!DOCTYPE html><title>Caddy works!</title>\n"),
        **{f"{path}/": File(b"") for path in ("/config/caddy", "/data/caddy", "/srv")},
        **_alpine_files(),
    }
    return Image(
        "library/caddy",
        f"{binaries.CADDY_VERSION}-alpine",
        [_alpine("curl"), files("Caddy", content)],
        {
            "Env": [
                _PATH,
                f"CADDY_VERSION=v{binaries.CADDY_VERSION}",
                "XDG_CONFIG_HOME=/config",
                "XDG_DATA_HOME=/data",
            ],
            "Cmd": ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"],
            "WorkingDir": "/srv",
            "ExposedPorts": {"80/tcp": {}, "443/tcp": {}, "443/udp": {}, "2019/tcp": {}},
            "Labels": {_LABEL: "the real Caddy binary; busybox from Debian in the place of Alpine"},
        },
    )


def _livekit() -> Image:
    """livekit/livekit-server:v1.13.5: the real server, built from the vendor's module."""
    server = File(binaries.livekit_server(), 0o755)
    return Image(
        "livekit/livekit-server",
        binaries.LIVEKIT_VERSION,
        [_alpine(), files("LiveKit", {"/livekit-server": server, **_alpine_files()})],
        {
            "Env": [_PATH],
            "Entrypoint": ["/livekit-server"],
            "Labels": {_LABEL: "the real server built by go install; busybox from Debian in the place of Alpine"},
        },
    )
