"""Keeps what docs/agent.md asks of an image, and takes no call: healthy as long as it has what it was given."""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.request import urlopen

ADDRESS = ("127.0.0.1", int(os.environ["AGENT_HEALTH_PORT"]))
NEEDED = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "TTS_URL", "GUARD_URL", "BEDROCK_MODEL_ID")


class Health(BaseHTTPRequestHandler):
    """Says how each part is: 200 when all are ok, else 503."""

    def do_GET(self) -> None:
        """Answer at any path."""
        parts = {name: "ok" if os.environ.get(name) else "is not set" for name in NEEDED}
        parts["weights"] = "ok" if Path(os.environ["FASTER_WHISPER_MODEL"], "model.bin").is_file() else "are missing"
        self.send_response(200 if set(parts.values()) == {"ok"} else 503)
        self.end_headers()
        self.wfile.write(json.dumps({"parts": parts}).encode())


if sys.argv[1:] == ["healthcheck"]:
    urlopen(f"http://{ADDRESS[0]}:{ADDRESS[1]}/").close()
else:
    HTTPServer(ADDRESS, Health).serve_forever()
