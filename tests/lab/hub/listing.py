"""The JSON in which the Hub describes a repository at one commit."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from tests.lab.hub.models import Repo, Stored


def model_info(repo: Repo, *, blobs: bool) -> dict[str, Any]:
    """/api/models/NAME."""
    siblings = [{"rfilename": path, **(_blob(file) if blobs else {})} for path, file in repo.files.items()]
    return {
        "_id": repo.revision[:24],
        "id": repo.name,
        "modelId": repo.name,
        "sha": repo.revision,
        "private": False,
        "gated": "manual" if repo.gated else False,
        "disabled": False,
        "tags": [f"license:{repo.licence}"],
        "cardData": {"license": repo.licence},
        "downloads": 0,
        "likes": 0,
        "lastModified": "2026-01-01T00:00:00.000Z",
        "siblings": siblings,
    }


def tree(repo: Repo) -> list[dict[str, Any]]:
    """Files, and the directories that they are in."""
    folders = sorted({path.rpartition("/")[0] for path in repo.files if "/" in path})
    entries: list[dict[str, Any]] = [
        {"type": "directory", "oid": "0" * 40, "size": 0, "path": folder} for folder in folders
    ]
    for path, file in repo.files.items():
        lfs = {"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": 134}} if file.large else {}
        entries.append({"type": "file", "oid": file.oid, "size": file.size, "path": path, **lfs})
    return entries


def wanted_paths(body: bytes) -> set[str]:
    """What a POST to paths-info asks for; the client sends a form or JSON, by version."""
    if body.startswith(b"{"):
        return set(json.loads(body)["paths"])
    return set(parse_qs(body.decode()).get("paths", []))


def _blob(file: Stored) -> dict[str, Any]:
    lfs = {"lfs": {"sha256": file.sha256, "size": file.size, "pointerSize": 134}} if file.large else {}
    return {"size": file.size, "blobId": file.oid, **lfs}
