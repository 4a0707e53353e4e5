"""The operation that verifies a host, and the command that brings the document back."""

from __future__ import annotations

import base64
import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation

from on_host.verify.request import Request
from on_host.verify.rotation import KEYS
from on_host.verify.sound import from_wav
from voicestack import stack
from voicestack.bundle import bundle
from voicestack.remote import File, Streamed, refuse, script, script_file, tree_on_stdin
from voicestack.settings.model import Settings
from voicestack.stack.render import environments
from voicestack.verify.document import Documents, keep_recordings
from voicestack.verify.request import request

if TYPE_CHECKING:
    from pyinfra.api.host import Host

PLACE = "/run/voice-gate"
DOCUMENTS = Documents()
"""Of this run: pyinfra works on all hosts in one process."""

FETCH = """
umask 077
if [ -e "$1/document.json" ]; then cat "$1/document.json"; fi
rm -rf "$1"
"""


class Verify(Streamed):
    """Streams the human lines, then fetches the document and removes what the host was lent."""

    def __init__(self, program: str, stdin: str, report: str, recordings: str) -> None:
        super().__init__(program, _stdin=stdin)
        self._report, self._recordings = report, recordings

    def carry_out(self, host: Host, arguments: dict[str, Any]) -> bool:
        """Run both."""
        finished = super().carry_out(host, arguments)
        # The first command's stdin is not the second one's.
        _, output = host.run_shell_command(StringCommand(script(FETCH, PLACE)), **{**arguments, "_stdin": None})
        if output.stdout:
            document = json.loads(output.stdout)
            keep_recordings(host.name, document.pop("recordings"), self._recordings)
            DOCUMENTS.add(host.name, document, self._report)
        return finished


def install(settings: Settings) -> None:
    """Verify this host; it fails unless every check passes."""
    gate = settings.gate
    verify(
        name=f"Verify that {settings.site.domain} answers callers",
        wanted=request(settings, environments(settings)["voice-agent"]),
        recording=gate.question_wav,
        report=gate.report,
        recordings=gate.recordings,
    )


@operation()
def verify(wanted: Request, recording: str, report: str, recordings: str) -> Generator[StringCommand, None, None]:
    """Run the probes on the host; the operation fails when one of them does.

    Args:
        wanted: what they ask.
        recording: the controller's WAV file to ask with, "" for the stack's own voice.
        report: the controller's file for the JSON document, "" for none.
        recordings: the controller's directory for what was heard, "" for none.
    """
    if recording:
        try:
            content = Path(recording).read_bytes()
            from_wav(content)
        except (OSError, ValueError) as error:
            yield refuse(f"gate_question_wav: {recording}: {error}")
            return
        wanted = replace(wanted, question_wav=base64.b64encode(content).decode())
    yield Verify(script_file(__file__, "gate.sh", PLACE), tree_on_stdin(_program(wanted)), report, recordings)


def _program(wanted: Request) -> dict[str, File]:
    keys = File(Path(stack.__file__).with_name(KEYS).read_bytes())
    # It holds no secret.
    return {**bundle("verify"), KEYS: keys, "request.json": File(wanted.to_json().encode())}
