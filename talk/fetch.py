"""Gets LiveKit's client for browsers while the image is built: the bundle and its licence out of npm's tarball.

    CLIENT_URL=... CLIENT_SHA256=... python3 fetch.py DIRECTORY

Nothing is unpacked before the tarball's sha256 is right.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tarfile
import urllib.request
from pathlib import Path

WANTED = {
    "package/dist/livekit-client.esm.mjs": "livekit-client.mjs",
    "package/LICENSE": "livekit-client.LICENSE.txt",
}
TIMEOUT_S = 60


def fetch(url: str, sha256: str, directory: Path) -> None:
    """Put the wanted files into the directory.

    Raises:
        SystemExit: the tarball does not come, is another one, or lacks a file.
    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 (the settings allow http and https)
            content = answer.read()
    except OSError as error:
        sys.exit(f"{url}: {error} (talk_client_url)")
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        sys.exit(f"{url}: its sha256 is {found}, talk_client_sha256 says {sha256}; nothing was unpacked")
    directory.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for inside, name in WANTED.items():
            file = archive.extractfile(inside) if inside in archive.getnames() else None
            if file is None:
                sys.exit(f"{url}: it has no {inside}")
            (directory / name).write_bytes(file.read())


if __name__ == "__main__":
    fetch(os.environ["CLIENT_URL"], os.environ["CLIENT_SHA256"], Path(sys.argv[1]))
