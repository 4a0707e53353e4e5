"""Which directory may hold the weights. What else is in it is moved aside, so it must be the stack's alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from voicestack.paths import HOME

SYSTEMS = re.compile(r"(bin|boot|dev|etc|lib(32|64|x32)?|lost\+found|proc|root|run|sbin|snap|sys|tmp|usr|var)(\..*)?")
"""Top-level directories that belong to the system with all that is in them (FHS 3.0, 3 and 6; `/lib.usr-is-merged`).
Docker's, containerd's and the services' own data lie in /var."""

SHARED = {"home": 2, "media": 1, "mnt": 1, "opt": 1, "srv": 1}
"""Top-level directories of many owners (FHS 3.0), and so many levels below them begins what one of them owns."""


def owned(path: str) -> str:
    """`path`, if the stack may own it.

    Raises:
        ValueError: it is spelt in another way than the kernel's tables do, or belongs to somebody else.
    """
    parts = path.split("/")[1:]
    depth = SHARED.get(parts[0], 0) if parts else 0
    if not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", path) or {".", ".."} & set(parts):
        problem = "not an absolute path of letters, digits, '.', '_', '-' without '.', '..', '//' and a '/' at the end"
    elif SYSTEMS.fullmatch(parts[0]):
        problem = f"/{parts[0]} belongs to the system"
    elif f"{path}/".startswith(f"{HOME}/"):
        problem = "the stack's own files lie there"
    elif len(parts) <= depth:
        problem = "others have their directories there"
    else:
        return path
    raise ValueError(f"{problem}; name a directory for the models alone, such as /models, /srv/models or /data/models")


def unknown_content(directory: str, names: Sequence[str]) -> str:
    """Why a directory that is not known to be ours, and holds these names beside the catalog's, is left alone."""
    shown = ", ".join(name.encode(errors="surrogateescape").decode(errors="replace") for name in names[:10])
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return (
        f"weights_directory: {directory} holds what is not in weights_catalog ({shown}{more}), and nothing there says "
        "that it is the stack's: no .replaced, no model that was fetched. Move that elsewhere, or name another "
        f"directory; or have all of it moved to {directory}/.replaced: mkdir {directory}/.replaced"
    )
