"""One run of the verification on a host: what was found so far, and the container that the probes run in."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any

from on_host import docker
from on_host.paths import HOME, LIVEKIT_ENV
from on_host.verify.causes import likely_cause
from on_host.verify.report import GATE, Report
from on_host.verify.request import Request

CONTAINER = "voice-gate"
MOUNTED = "/gate"


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

    def take(self, event: str, **values: Any) -> None:
        """Keep and tell what was found; a failed check's container is looked at first."""
        if event == "check" and not values["passed"]:
            present, elsewhere = states(services()), self.request.elsewhere
            values["cause"] = likely_cause(values["leg"], values["cause"], present, elsewhere)
        for line in self.report.take(event, **values):
            self.say(line)

    def check(self, probe: str, name: str, leg: str, passed: bool, detail: str, cause: str = "") -> None:
        """A check of the host's own."""
        self.take("check", probe=probe, name=name, leg=leg, passed=passed, detail=detail, cause=cause)

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
            self.take(**{**event, "probe": within} if within and "probe" in event else event)
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
        *("--env-file", str(HOME / LIVEKIT_ENV), *trust),
        *("--env", f"PYTHONPATH={MOUNTED}", "--env", "PYTHONDONTWRITEBYTECODE=1", "--env", "HF_HUB_OFFLINE=1"),
        *("--mount", f"type=bind,source={place},target={MOUNTED},readonly"),
        *("--mount", f"type=bind,source={request.whisper},target={request.whisper},readonly"),
        *("--workdir", MOUNTED, "--entrypoint", "/opt/venv/bin/python", image, "-m", "on_host.verify.probe"),
    ]


def services() -> dict[str, dict[str, Any]]:
    """As docker.containers; none where Docker does not answer: then the next thing that needs it says so."""
    try:
        return docker.containers()
    except (OSError, subprocess.CalledProcessError):
        return {}


def states(present: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Service -> "running, healthy", "exited", "paused, healthy"."""
    found = {}
    for service, container in present.items():
        state = container["State"]
        health = state.get("Health", {}).get("Status") if state["Status"] in ("running", "paused") else None
        found[service] = f"{state['Status']}, {health}" if health else state["Status"]
    return found


def remove_container() -> None:
    """What a run that was cut off may have left."""
    if shutil.which("docker"):
        subprocess.run(["docker", "rm", "--force", CONTAINER], capture_output=True, check=False)
