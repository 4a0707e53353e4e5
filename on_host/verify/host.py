"""The verification on the host, as root: runs the probes in a container, tells people live, keeps the document.

`python3 -m on_host.verify.host PLACE`: PLACE holds this program and request.json, and gets document.json. Standard
library only. What it asks changes nothing on the host; only the rotation does, and that one puts everything back.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from on_host.verify.causes import likely_cause
from on_host.verify.machine import HOME, ROOT_CERTIFICATE, agent_image, containers, public_address, states
from on_host.verify.report import GATE, Report
from on_host.verify.request import Request
from on_host.verify.rotation import rotate

CONTAINER = "voice-gate"
MOUNTED = "/gate"
UNABLE = "the verification can start"


class Verification:
    """One run: the request, what was found so far, where it stands."""

    def __init__(self, place: Path, request: Request, image: str) -> None:
        self.place, self.request, self.image = place, request, image
        self.report = Report(request.domain, request.address)
        self.audience_gone = False

    def say(self, line: str) -> None:
        """Tell people. If nobody listens any more, the verification still ends as it should."""
        try:
            print(line, flush=True)
        except BrokenPipeError:
            self.audience_gone = True

    def take(self, event: dict[str, Any]) -> None:
        """Keep and tell what was found; a failed check's container is looked at first."""
        if event["event"] == "check" and not event["passed"]:
            event["cause"] = likely_cause(event["leg"], event["cause"], states(containers()), self.request.elsewhere)
        for line in self.report.take(event):
            self.say(line)

    def check(self, probe: str, name: str, leg: str, passed: bool, detail: str, cause: str = "") -> None:
        """A check of the host's own."""
        self.take(
            {
                "event": "check",
                "probe": probe,
                "name": name,
                "leg": leg,
                "passed": passed,
                "detail": detail,
                "cause": cause,
            }
        )

    def probe(self, request: Request, within: str = "") -> None:
        """Run probes in the container; their events are taken as they come, as part of the probe `within` if given."""
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(
                container_command(self.place, request, self.image),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            try:
                self._follow(process, request, within)
            finally:
                process.kill()
                process.wait()
                remove_container()
            if process.returncode not in (0, -signal.SIGKILL):
                self._crashed(within or request.probes[-1], process.returncode, errors)

    def _follow(self, process: subprocess.Popen[str], request: Request, within: str) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("the probe needs pipes")
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(request.to_json() + "\n")
            process.stdin.close()
        for line in process.stdout:
            event = json.loads(line)
            self.take({**event, "probe": within} if within and "probe" in event else event)
        process.wait()

    def _crashed(self, probe: str, status: int, errors: IO[str]) -> None:
        errors.seek(0)
        last = errors.read().strip().splitlines()[-1:] or ["it said nothing"]
        self.check(probe, "the probe runs", GATE, False, f"exit status {status}: {last[0]}")


def container_command(place: Path, request: Request, image: str) -> list[str]:
    """Docker's words: what may be known by everyone on the host, no more."""
    trust = ["--env", f"SSL_CERT_FILE={MOUNTED}/root.crt"] if request.own_authority else []
    return [
        *("docker", "run", "--rm", "--interactive", "--name", CONTAINER, "--pull", "never", "--init"),
        *("--network", "host", "--add-host", f"{request.domain}:{request.address}"),
        *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),  # noqa: S108
        # Its output is this program's; and when memory gets short, the stack stays and this goes.
        *("--log-driver", "none", "--oom-score-adj", "1000"),
        *("--env-file", str(HOME / "secrets" / "livekit.env"), *trust),
        *("--env", f"PYTHONPATH={MOUNTED}", "--env", "PYTHONDONTWRITEBYTECODE=1", "--env", "HF_HUB_OFFLINE=1"),
        *("--mount", f"type=bind,source={place},target={MOUNTED},readonly"),
        *("--mount", f"type=bind,source={request.whisper},target={request.whisper},readonly"),
        *("--workdir", MOUNTED, "--entrypoint", "/opt/venv/bin/python", image, "-m", "on_host.verify.probe"),
    ]


def remove_container() -> None:
    """What a run that was cut off may have left."""
    if shutil.which("docker"):
        subprocess.run(["docker", "rm", "--force", CONTAINER], capture_output=True, check=False)


def verify(run: Verification) -> None:
    """All probes that were asked for."""
    request = run.request
    problem = obstacle(run)
    if problem:
        run.check("reachable", UNABLE, GATE, False, problem)
        return
    warn_about_dns(run)
    run.say("reachable, conversation")
    run.probe(request)
    if not request.rotation:
        run.take(
            {
                "event": "skipped",
                "probe": "rotation",
                "why": "not asked for: --data gate_rotation=true restarts services",
            }
        )
    elif not run.report.passed:
        run.take({"event": "skipped", "probe": "rotation", "why": "not begun, because of the failure above"})
    else:
        run.say("rotation")
        rotate(run)


def obstacle(run: Verification) -> str:
    """Why this host cannot be verified at all, or ""."""
    if not run.image:
        return f"the stack is not on this host ({HOME} has no compose.yml): run deploys/voice.py"
    if not run.request.address:
        return f"{HOME}/livekit/livekit.yaml names no address: run deploys/voice.py"
    if not (HOME / "secrets" / "livekit.env").exists():
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
        run.take({"event": "warning", "text": f"{domain} does not resolve on this host; the probes use {address}"})
        return
    if address not in found:
        text = f"{domain} resolves to {', '.join(sorted(found))}, not to {address}, which the probes use"
        run.take({"event": "warning", "text": text})


@contextlib.contextmanager
def endings() -> Iterator[None]:
    """Being told to end raises SystemExit, once, so that what was changed is put back first."""
    watched = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

    def end(number: int, _frame: object) -> None:
        for each in watched:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for watch in watched:
        signal.signal(watch, end)
    yield


def main(place: Path) -> int:
    """Verify; 0 when everything that was asked passed."""
    request = Request.from_json((place / "request.json").read_text(encoding="utf-8"))
    started = time.monotonic()
    run = Verification(place, replace(request, address=public_address()), agent_image(containers()))
    run.say(f"{request.domain} at {run.request.address or 'no address'}, in the agent's image {run.image[:19]}")
    with endings():
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
