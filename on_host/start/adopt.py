"""A host from before there were releases: what runs there, if it is healthy, is its first one. Runs there as root.

Usage: adopt.py HOME, from the staged set beside the new one's start.json, before anything in HOME is replaced.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from on_host.start import releases
from on_host.start.containers import containers


def adopt(home: Path, plan: dict[str, object]) -> releases.Release:
    """Keep what lies in `home` as its first release; what its own plan does not say yet is taken from `plan`."""
    file = home / releases.PLAN
    own = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**plan, **own}, indent=2) + "\n", encoding="utf-8")
    images = {service: (each["Config"]["Image"], each["Image"]) for service, each in containers().items()}
    release = releases.keep(home, releases.files_of(home), images)
    releases.accept(home, release, 1)
    return release


def main() -> int:
    """Adopt what is healthy; anything else is left alone."""
    home = Path(sys.argv[1])
    check = [sys.executable, str(home / "bin" / "start.py"), "--check"]
    said = subprocess.run(check, stdout=subprocess.PIPE, text=True, check=False)
    if said.returncode == 0 and said.stdout.split("\n")[-2:-1] == ["{}"]:
        plan = json.loads((Path(__file__).parent / "start.json").read_text(encoding="utf-8"))
        print(f"release {adopt(home, plan).number} is what ran here until now")
    return 0


if __name__ == "__main__":
    sys.exit(main())
