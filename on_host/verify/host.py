"""The verification on the host, as root: runs the probes in a container, tells people live, keeps the document.

`python3 -m on_host.verify.host PLACE`: PLACE holds this program and request.json, and gets document.json. Standard
library only. What it asks changes nothing on the host; only the rotation does, and that one puts everything back.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

from on_host.paths import HOME, LIVEKIT_ENV, STATE
from on_host.verify.report import GATE
from on_host.verify.request import Request
from on_host.verify.rotation import rotate
from on_host.verify.run import Verification, remove_container

ROOT_CERTIFICATE = STATE / "caddy/data/caddy/pki/authorities/local/root.crt"


def verify(run: Verification) -> None:
    """All probes that were asked for."""
    request = run.request
    if problem := obstacle(run):
        run.check("reachable", "the verification can start", GATE, False, problem)
        return
    warn_about_dns(run)
    run.say("reachable, conversation")
    run.probe(request)
    if not request.rotation:
        why = "not asked for: --data gate_rotation=true restarts services"
        run.take("skipped", probe="rotation", why=why)
    elif not run.report.passed:
        run.take("skipped", probe="rotation", why="not begun, because of the failure above")
    else:
        run.say("rotation")
        rotate(run)


def obstacle(run: Verification) -> str:
    """Why this host cannot be verified at all, or ""."""
    if not run.image:
        return f"the stack is not on this host ({HOME} has no compose.yml): run deploys/voice.py"
    if not run.request.address:
        return f"{HOME}/livekit/livekit.yaml names no address: run deploys/voice.py"
    if not (HOME / LIVEKIT_ENV).exists():
        return "LiveKit's key pair is missing: run deploys/voice.py"
    if not Path(run.request.whisper).is_dir():
        return f"{run.request.whisper} is missing: run deploys/weights.py"
    if run.request.own_authority:
        if not ROOT_CERTIFICATE.exists():
            return f"Caddy has made no authority of its own ({ROOT_CERTIFICATE}): was it ever started?"
        # The certificate is public, but its directory is root's, and the container's user is not root.
        (run.place / "root.crt").write_bytes(ROOT_CERTIFICATE.read_bytes())
        (run.place / "root.crt").chmod(0o644)
    return ""


def warn_about_dns(run: Verification) -> None:
    """Callers find the host by its name; the probes are told the address and would not notice."""
    domain, address = run.request.domain, run.request.address
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(domain, 443, type=socket.SOCK_STREAM)}
    except OSError:
        run.take("warning", text=f"{domain} does not resolve on this host; the probes use {address}")
        return
    if address not in found:
        text = f"{domain} resolves to {', '.join(sorted(found))}, not to {address}, which the probes use"
        run.take("warning", text=text)


def tools_image() -> str:
    """The image with LiveKit's client and Whisper, the deploys' own agent's; "" where there is no stack."""
    # A release from before there was agent_source names it in the agent's service alone.
    return _written("compose.yml", r"^(?:x-tools|    image): (voice-agent:\S+)$")


def public_address() -> str:
    """Where callers' media goes, as LiveKit was told; "" if it was told nothing."""
    return _written("livekit/livekit.yaml", r"^\s+node_ip: (\S+)$")


def _written(file: str, line: str) -> str:
    """What one of the stack's files says in such a line, "" without one."""
    path = HOME / file
    found = re.search(line, path.read_text(encoding="utf-8"), re.MULTILINE) if path.exists() else None
    return found[1] if found else ""


def watch_endings() -> None:
    """Have being told to end raise SystemExit, once, so that what was changed is put back first."""
    watched = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

    def end(number: int, _frame: object) -> None:
        for each in watched:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for each in watched:
        signal.signal(each, end)


def main(place: Path) -> int:
    """Verify; 0 when everything that was asked passed."""
    request = Request.from_json((place / "request.json").read_text(encoding="utf-8"))
    started = time.monotonic()
    run = Verification(place, replace(request, address=public_address()), tools_image())
    run.say(f"{request.domain} at {run.request.address or 'no address'}, in the image {run.image or 'of no stack'}")
    watch_endings()
    try:
        remove_container()
        verify(run)
    except SystemExit as ended:
        probe = "rotation" if run.request.rotation else "conversation"
        run.check(probe, "the verification", GATE, False, f"was told to end (exit status {ended.code})")
        raise
    finally:
        run.report.seconds = time.monotonic() - started
        run.say(run.report.last_line())
        finish(run)
    return 0 if run.report.passed else 1


def finish(run: Verification) -> None:
    """Leave the document for the controller; if that is gone, leave nothing."""
    if run.audience_gone:
        shutil.rmtree(run.place)
        return
    document = {**run.report.document(), "recordings": run.report.recordings}
    os.umask(0o077)
    (run.place / "document.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
