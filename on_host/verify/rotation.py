"""Probe 2: another key pair restarts exactly its readers, the one before no longer works; then everything goes back.

The pair that was there returns at the end, also after a failure or a signal: the web backend that mints callers'
tokens has the same. Calls that are under way end, twice: LiveKit restarts.
"""

from __future__ import annotations

import base64
import secrets
import subprocess
from pathlib import Path

from on_host.paths import HOME, KEYS_YAML, LIVEKIT_ENV
from on_host.verify.report import GATE
from on_host.verify.request import KeyPair
from on_host.verify.run import Verification, services

READERS = frozenset({"livekit", "voice-agent"})
PROBE = "rotation"
KEYS = "keys.sh"


def rotate(run: Verification) -> None:
    """The whole probe."""
    before, other = current_pair(HOME), new_pair()
    kept = backups(HOME)
    run.take("note", text="the pair in use is set aside; calls that are under way end now")
    try:
        changed(run, "a new pair", other, before)
    except (OSError, subprocess.CalledProcessError) as error:
        run.check(PROBE, "a new pair: is put in place", GATE, False, type(error).__name__)
    finally:
        back(run, before, other)
        left = ", ".join(sorted(backups(HOME) - kept))
        kept_in = f"keys.sh keeps what it replaces, dated and root's alone, in {HOME}"
        run.take("note", text=f"{kept_in}: {left or 'nothing this time'}")


def back(run: Verification, before: KeyPair, other: KeyPair) -> None:
    """Whatever happened: the host gets the pair again that the web backend has."""
    try:
        changed(run, "the pair from before", before, other)
    except (OSError, subprocess.CalledProcessError) as error:
        cause = f"put it back by hand: it is in {HOME}/{LIVEKIT_ENV}.DATE; run the deploy with it in LIVEKIT_API_*"
        run.check(PROBE, "the pair from before is put back", GATE, False, type(error).__name__, cause)


def changed(run: Verification, what: str, pair: KeyPair, revoked: KeyPair) -> None:
    """Give the host that pair, and prove that it works and the other one does not."""
    before = identities()
    put(run.place, pair)
    status, said = start()
    after = identities()
    recreated = {service for service in after if after[service] != before.get(service)}
    names = ", ".join(sorted(recreated)) or "nothing"
    last = said[-1] if said else "start.py said nothing"
    run.check(PROBE, f"{what}: the services come back", GATE, status == 0, last)
    run.check(PROBE, f"{what}: restarts exactly its readers", GATE, recreated == READERS, names)
    if status == 0:
        run.probe(run.request.only("reachable", revoked=(revoked,)), within=PROBE)


def new_pair() -> KeyPair:
    """As keys.sh makes them."""
    return KeyPair(f"API{secrets.token_hex(6)}", base64.b64encode(secrets.token_bytes(36)).decode())


def current_pair(home: Path) -> KeyPair:
    """The pair of the host."""
    lines = (home / LIVEKIT_ENV).read_text(encoding="utf-8").splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return KeyPair(values["LIVEKIT_API_KEY"], values["LIVEKIT_API_SECRET"])


def put(place: Path, pair: KeyPair) -> None:
    """Make it the host's, as a deploy with LIVEKIT_API_KEY and LIVEKIT_API_SECRET does."""
    words = ["bash", "-euo", "pipefail", str(place / KEYS), str(HOME), "keep"]
    env_file = f"LIVEKIT_API_KEY={pair.key}\nLIVEKIT_API_SECRET={pair.secret}\n"
    subprocess.run(words, input=env_file, stdout=subprocess.DEVNULL, text=True, check=True)


def start() -> tuple[int, list[str]]:
    """Bring up what differs; the exit status of start.py and what it said."""
    words = ["python3", str(HOME / "bin" / "start.py")]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


def identities() -> dict[str, str]:
    """Service -> its container and when that was started: what must not change for the others."""
    return {name: f"{each['Id']} {each['State']['StartedAt']}" for name, each in services().items()}


def backups(home: Path) -> set[str]:
    """What keys.sh has set aside, ever."""
    found = [*home.glob("secrets/*.env.2*"), *home.glob(f"{KEYS_YAML}.2*")]
    return {str(path.relative_to(home)) for path in found}
