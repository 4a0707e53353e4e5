"""The operation that brings the catalog's models into place."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from deploys.access.secrets import hub_token
from deploys.models.catalog import Catalog
from deploys.models.facts import WeightsState
from deploys.models.state import Pending, pending
from deploys.remote import File, Streamed, refuse, script, tree_on_stdin
from deploys.settings import Settings

HERE = Path(__file__).parent
PROGRAM = ("architecture.py", "download.py", "fetch.py", "hub.py", "progress.py", "store.py")
"""What runs on the target; nothing in it needs more than the standard library and requirements-fetch.txt."""

LOCK = "requirements-fetch.txt"

# The virtual environment is named by its lock, so an unchanged lock installs nothing. It counts once its last
# step was done and its Python still starts: a release upgrade of the distribution removes the one it was made with.
_PREPARE = """umask 022
mkdir -p {home} && cd {home}
rm -rf program && mkdir program && base64 -d | tar -xz --no-same-owner -C program
venv=venv-{key}
if [ -e "$venv/.complete" ] && "$venv/bin/python" -c 'import huggingface_hub' 2>/dev/null; then exit 0; fi
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  echo 'Installing python3-venv'
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q -o DPkg::Lock::Timeout=600 update
  apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends python3-venv
fi
echo "Installing the Hub client ($venv)"
rm -rf venv-*
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --no-cache-dir \\
  --require-hashes --only-binary :all: --index-url {index} {trust} -r program/{lock}
touch "$venv/.complete"
"""

# HF_HUB_DISABLE_XET: plain HTTP, which can be resumed and measured. The token is not here: it comes on stdin.
_FETCH = """cd {home}/program
export HF_ENDPOINT={endpoint} HF_HUB_DISABLE_XET=1 HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_IMPLICIT_TOKEN=1
export HF_HOME={home}/cache PYTHONUNBUFFERED=1
unset HF_TOKEN HUGGING_FACE_HUB_TOKEN
exec ../venv-{key}/bin/python -m deploys.models.fetch
"""


def install(settings: Settings) -> None:
    """The catalog's models in the weights' directory."""
    weights(
        name=f"Fetch the weights into {settings.weights.directory}, each after its architecture check",
        catalog=settings.weights.catalog,
        directory=settings.weights.directory,
        endpoint=settings.weights.endpoint,
        index_url=settings.pypi.index_url,
    )


@operation()
def weights(
    catalog: Catalog,
    directory: str,
    endpoint: str,
    index_url: str,
    home: str = "/opt/voice/weights",
) -> Generator[StringCommand, None, None]:
    """Make `directory` hold the catalog's models, verified; one ssh execution when it does already.

    Args:
        catalog: the models by name.
        directory: where they stand on the host; each in a directory of its name.
        endpoint: the Hub's address, or a mirror's that speaks its API.
        index_url: the Python package index for the client.
        home: where the client and its virtual environment stand on the host.

    The host fails, unchanged, if a gated model is missing and there is no HF_TOKEN.
    """
    state = host.get_fact(WeightsState, directory=directory, names=tuple(catalog))
    missing = pending(catalog, state)
    if not missing:
        host.noop(f"{directory} holds the catalog's {len(catalog)} models")
        return
    token = hub_token()
    gated = [catalog[name].repo for name, _ in missing if catalog[name].gated]
    if gated and not token:
        yield _refusal(gated, endpoint)
        return
    for name, reason in missing:
        logger.info(f"{host.print_prefix}{name}: {reason}")
    yield Streamed(_prepare(home, index_url), _stdin=tree_on_stdin(_program()))
    yield Streamed(_fetch(home, endpoint), _stdin=_request(catalog, missing, directory, endpoint, token))


def _refusal(gated: list[str], endpoint: str) -> StringCommand:
    """Fail this host before anything is done."""
    pages = ", ".join(f"{endpoint}/{repo}" for repo in gated)
    message = (
        f"HF_TOKEN is not set, and {', '.join(gated)} is gated. Ask for access on {pages}, make a token on "
        f"{endpoint}/settings/tokens and set HF_TOKEN where pyinfra runs."
    )
    return refuse(message)


def _program() -> dict[str, File]:
    """The fetcher as a tree, with the package names that its imports use."""
    files = {f"deploys/models/{name}": File((HERE / name).read_bytes()) for name in PROGRAM}
    packages = {f"{package}/__init__.py": File(b"") for package in ("deploys", "deploys/models")}
    return {**files, **packages, LOCK: File((HERE / LOCK).read_bytes())}


def _key() -> str:
    return hashlib.sha256((HERE / LOCK).read_bytes()).hexdigest()[:12]


def _prepare(home: str, index_url: str) -> str:
    """Unpack the program from stdin and make its virtual environment, if it is not there."""
    index = urlsplit(index_url)
    # Every package is pinned by hash, so an index without TLS (a mirror inside) can withhold but not forge.
    trust = f"--trusted-host {shlex.quote(index.hostname or '')}" if index.scheme == "http" else ""
    return script(
        _PREPARE.format(home=shlex.quote(home), key=_key(), index=shlex.quote(index_url), trust=trust, lock=LOCK)
    )


def _fetch(home: str, endpoint: str) -> str:
    return script(_FETCH.format(home=shlex.quote(home), key=_key(), endpoint=shlex.quote(endpoint)))


def _request(catalog: Catalog, missing: list[Pending], directory: str, endpoint: str, token: str | None) -> str:
    """What fetch.py reads: one line."""
    models = {name: catalog[name].model_dump(mode="json", exclude={"name"}) for name, _ in missing}
    return json.dumps({"directory": directory, "endpoint": endpoint, "token": token, "models": models})
