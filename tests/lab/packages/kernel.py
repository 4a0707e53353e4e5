"""What belongs to the running kernel: its headers, and the simulated driver's module and libraries."""

from __future__ import annotations

import platform
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.lab.console import run
from tests.lab.packages.deb import Deb

RELEASE = platform.release()
NUMBER = re.match(r"[0-9.]+", RELEASE)[0].rstrip(".")  # type: ignore[index]  # every release starts with digits
NEWER_RELEASE = RELEASE.replace(NUMBER, f"{NUMBER}.1", 1)
"""A kernel of the same flavour that has come out since; the lab cannot boot it."""


def flavour(release: str) -> str:
    """The last part of a kernel's name, as Ubuntu's metapackages have it: 6.8.0-1015-aws is `aws`."""
    match = re.match(r"^[0-9.]+-(?:[0-9]+-)?(.+)$", release)
    return match[1] if match else "generic"


def headers() -> list[Deb]:
    """The headers' package for exactly this kernel; it holds no headers, nothing is compiled here."""
    return [
        Deb(
            f"linux-headers-{RELEASE}",
            f"{NUMBER}-1",
            f"Header files for Linux {RELEASE}",
            files={f"usr/src/linux-headers-{RELEASE}/Makefile": "# No headers: the lab compiles no modules.\n"},
            links={f"usr/lib/modules/{RELEASE}/build": f"/usr/src/linux-headers-{RELEASE}"},
            scripts={
                "postinst": 'if [ "$1" = configure ] && [ -d /etc/kernel/header_postinst.d ]; then\n'
                f"    run-parts --arg={RELEASE} /etc/kernel/header_postinst.d\nfi\n"
            },
        )
    ]


def module(version: str, name: str = "nvidia", release: str = RELEASE) -> bytes:
    """A kernel module that modinfo(8) reads like NVIDIA's: an ELF object with nothing but its description."""
    description = {
        "license": "Dual MIT/GPL",
        "version": version,
        "description": "voice-lab stand-in for the NVIDIA open kernel module",
        **({"alias": "pci:v000010DEd*sv*sd*bc03sc02i00*"} if name == "nvidia" else {}),
        "depends": "" if name == "nvidia" else "nvidia",
        "name": name,
        "vermagic": f"{release} SMP mod_unload ",
    }
    return _assemble(_strings(".modinfo", description))


def shared_library(soname: str, source: str = "") -> bytes:
    """A shared library of that name: what `source` (assembly) exports, else nothing."""
    return _assemble(source or _strings(".comment", {"stand-in": soname}), link=("-shared", "-soname", soname))


def _strings(section: str, entries: Mapping[str, str]) -> str:
    strings = "".join(f'.asciz "{key}={value}"\n' for key, value in entries.items())
    return f'.section {section},"a",@progbits\n{strings}'


def _assemble(source: str, *, link: tuple[str, ...] = ()) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "object"
        run("as", "--64", "-o", made, input_text=source)
        if link:
            linked = Path(scratch) / "library"
            run("ld", *link, "-o", linked, made)
            made = linked
        return made.read_bytes()
