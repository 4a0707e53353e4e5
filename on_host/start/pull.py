"""Pull images through Docker's API, saying how far and how fast. Runs on the host as root; standard library only.

Usage: pull.py IMAGE... Images that are present are not pulled again (a tag is not looked up anew: pins move only
when group_data does).
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
import urllib.parse
from collections.abc import Iterable

from on_host import docker

REPORT_EVERY_S = 5


class DockerSocket(http.client.HTTPConnection):
    """HTTP over /var/run/docker.sock."""

    def connect(self) -> None:
        """Connect to the socket instead of a TCP port."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/var/run/docker.sock")


class Progress:
    """Bytes of all layers of one image; total is what the registry has announced so far."""

    def __init__(self, image: str) -> None:
        self.image = image
        self.layers: dict[str, tuple[int, int]] = {}
        self.started = self.reported = time.monotonic()

    def update(self, event: dict[str, object]) -> None:
        """Take one event of the pull; prints a line every REPORT_EVERY_S seconds."""
        detail = event.get("progressDetail")
        if event.get("status") == "Downloading" and isinstance(detail, dict) and detail.get("total"):
            self.layers[str(event["id"])] = (int(detail["current"]), int(detail["total"]))
        if event.get("status") == "Download complete" and event.get("id") in self.layers:
            total = self.layers[str(event["id"])][1]
            self.layers[str(event["id"])] = (total, total)
        if time.monotonic() - self.reported >= REPORT_EVERY_S:
            self.reported = time.monotonic()
            print(self.line(str(event.get("status", ""))), flush=True)

    def line(self, status: str) -> str:
        """How far and how fast, in one line."""
        done = sum(current for current, _ in self.layers.values())
        total = sum(size for _, size in self.layers.values())
        rate = done / max(time.monotonic() - self.started, 0.001)
        left = f", {(total - done) / rate:.0f} s left" if rate and total > done else ""
        return f"{self.image}: {done / 1e6:.0f} of {total / 1e6:.0f} MB, {rate / 1e6:.1f} MB/s{left} ({status.lower()})"


def events(image: str) -> Iterable[dict[str, object]]:
    """What the daemon says while it pulls."""
    name, _, digest = image.partition("@")
    repository, _, tag = name.rpartition(":")
    query = urllib.parse.urlencode({"fromImage": repository, "tag": digest or tag})
    connection = DockerSocket("localhost")
    connection.request("POST", f"/images/create?{query}")
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(json.loads(response.read()).get("message", response.reason))
    for line in response:
        event = json.loads(line)
        if "error" in event:
            raise RuntimeError(event["error"])
        yield event


def pull(image: str) -> None:
    """Pull one image.

    Raises:
        RuntimeError: with the daemon's reason.
    """
    print(f"{image}: pulling", flush=True)
    progress = Progress(image)
    for event in events(image):
        progress.update(event)
    print(progress.line("done"), flush=True)


def main() -> int:
    """Pull what is missing; 0 when every image is present."""
    for image in sys.argv[1:]:
        try:
            if not docker.image_id(image):
                pull(image)
        except (RuntimeError, OSError) as error:
            print(f"cannot pull {image}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
