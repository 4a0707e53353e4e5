"""The Hub's side of a fetch: gates, listing, and byte ranges, through the real huggingface-hub client.

The client asks, follows redirects on the Hub and says why it was refused. The bytes are streamed here, over its
session: it would neither resume after a kill nor hash what it gets over HTTP (see requirements-fetch.in).

The token goes to the Hub's own origin and nowhere else: large files are redirected to another host by a signed
address, and that request carries no Authorization header.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import HfApi, RepoFile, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    filter_repo_objects,
    get_session,
)

TIMEOUT_S = 30.0
"""For connecting, and between two pieces of a body."""


class RefusedError(Exception):
    """The Hub will not give us this, or offers something else than we mean; the message says what to do."""


class UnreachableError(RefusedError):
    """The line failed: refused, timed out, cut, or the server has trouble. Worth another try."""


@dataclass(frozen=True)
class RemoteFile:
    """One file of a revision as the Hub lists it.

    Attributes:
        size: bytes.
        sha256: for files in large-file storage.
        git_sha1: for the others, of the git blob.
    """

    path: str
    size: int
    sha256: str | None
    git_sha1: str | None


@dataclass(frozen=True)
class Source:
    """One repository at one commit."""

    repo: str
    revision: str

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision[:12]}"


class Hub:
    """One Hub, with one token or none.

    Args:
        endpoint: its address without a trailing slash.
        token: stays in this process's memory.
    """

    def __init__(self, endpoint: str, token: str | None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._token: str | bool = token or False
        self._api = HfApi(endpoint=self.endpoint, token=self._token)

    def check_gate(self, source: Source) -> None:
        """Ask for access and for the commit; costs two small requests.

        Raises:
            RefusedError: no access, no such repository or commit, or no answer.
        """
        with self._explained(source):
            info = self._api.model_info(source.repo, revision=source.revision, timeout=TIMEOUT_S)
            if info.id != source.repo:
                raise RefusedError(
                    f"{source.repo} is now called {info.id}. Read what changed, then correct the catalog."
                )
            self._api.auth_check(source.repo)

    def listing(self, source: Source) -> dict[str, RemoteFile]:
        """Every file of the commit by path."""
        with self._explained(source):
            tree = self._api.list_repo_tree(source.repo, revision=source.revision, recursive=True)
            return {entry.path: _remote_file(entry) for entry in tree if isinstance(entry, RepoFile)}

    def read(self, source: Source, path: str, start: int, length: int) -> bytes:
        """`length` bytes of a file from `start`; fewer where it ends earlier."""
        with self.stream(source, path, start, start + length) as (begins, pieces):
            content = bytearray()
            for piece in pieces:
                content += piece
                if begins + len(content) >= start + length:
                    break
            return bytes(content[start - begins :][:length])

    @contextmanager
    def stream(
        self, source: Source, path: str, start: int, end: int | None = None
    ) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The bytes of a file from `start` (to before `end`).

        Yields:
            where the bytes really start (0 if the server does not do ranges), and the pieces as they arrive; a
            fixed piece size would lose what was gathered for one when the line is cut.
        """
        with self._explained(source):
            where = self._locate(source, path)
            headers = {"Accept-Encoding": "identity"}
            if start or end is not None:
                headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
            if _origin(where) == _origin(self.endpoint):
                headers |= build_hf_headers(token=self._token)
            with get_session().stream("GET", where, headers=headers, timeout=TIMEOUT_S) as answer:
                if answer.status_code not in (200, 206):
                    # The address was signed a moment ago, so whatever this is, the next one may do better.
                    raise UnreachableError(f"{source}: {_host(where)} answers {answer.status_code} for {path}.")
                yield (start if answer.status_code == 206 else 0), answer.iter_raw()

    def _locate(self, source: Source, path: str) -> str:
        """The address of a file's bytes; asked for anew before every read, because a signed one expires."""
        url = hf_hub_url(source.repo, path, revision=source.revision, endpoint=self.endpoint)
        metadata = get_hf_file_metadata(url, token=self._token, timeout=TIMEOUT_S, endpoint=self.endpoint)
        if metadata.commit_hash not in (None, source.revision):
            raise RefusedError(f"{source}: the Hub answers with commit {metadata.commit_hash} for {path}.")
        return metadata.location

    @contextmanager
    def _explained(self, source: Source) -> Iterator[None]:
        """Turn the client's exceptions into sentences with a way out."""
        try:
            yield
        except HfHubHTTPError as error:
            status = error.response.status_code
            kind = UnreachableError if status == 429 or status >= 500 else RefusedError
            raise kind(explain(error, source, self.endpoint, bool(self._token))) from None
        except httpx2.TransportError as error:
            raise UnreachableError(
                f"The line to {self.endpoint} (or to where it redirects) fails: {type(error).__name__}, {error}. "
                "Check the network, a proxy, and the setting weights_endpoint."
            ) from None
        except ValueError as error:
            raise RefusedError(f"{self.endpoint} does not answer like a Hub ({error}).") from None


def explain(error: HfHubHTTPError, source: Source, endpoint: str, with_token: bool) -> str:
    """Why the Hub refused, and the page to visit or the setting to fix."""
    status = error.response.status_code
    page = f"{endpoint}/{source.repo}"
    said = error.response.headers.get("X-Error-Message", "")
    if isinstance(error, GatedRepoError) or (status == 403 and "fine-grained" in said):
        return _explain_gate(source, endpoint, said if with_token else None)
    if isinstance(error, RevisionNotFoundError):
        return (
            f"{source.repo} has no commit {source.revision}. Its owner rewrote the history, or the catalog has "
            f"a mistake: compare with {page}/commits/main."
        )
    if isinstance(error, RepositoryNotFoundError):
        blind = "the token may not see it" if with_token else "no token was given"
        return f"{page} does not exist, or is private and {blind}. Check the repo in the catalog."
    if status == 401:
        return (
            f"The Hub does not know the token in HF_TOKEN ({said or 'Unauthorized'}): expired, revoked or "
            f"mistyped. See {endpoint}/settings/tokens."
        )
    return f"The Hub refuses {source} with {status}: {said or error.response.reason_phrase}"


def _explain_gate(source: Source, endpoint: str, said: str | None) -> str:
    """The three ways to stand before a gate; `said` is the Hub's word to a token, None if there was none."""
    if said is None:
        return (
            f"{source.repo} is gated and no token was given. Ask for access on {endpoint}/{source.repo}, make a "
            f"token on {endpoint}/settings/tokens and set HF_TOKEN where pyinfra runs."
        )
    if "fine-grained" in said:
        return (
            f"The token may not read gated repositories like {source.repo}. Edit it on "
            f'{endpoint}/settings/tokens: allow "Read access to contents of all public gated repos you can '
            'access".'
        )
    return (
        f"The token is valid, but its account has no access to {source.repo}. Ask for it on "
        f"{endpoint}/{source.repo} and wait until it is granted (by hand, for some models)."
    )


def selected(listing: dict[str, RemoteFile], include: list[str], exclude: list[str]) -> dict[str, RemoteFile]:
    """The files that the patterns choose.

    Raises:
        RefusedError: a pattern of `include` chooses nothing.
    """
    for pattern in include:
        if not list(filter_repo_objects(listing, allow_patterns=[pattern])):
            raise RefusedError(f"No file matches {pattern!r}; there are: {', '.join(sorted(listing))}")
    paths = filter_repo_objects(listing, allow_patterns=include, ignore_patterns=exclude)
    return {path: listing[path] for path in paths}


def _remote_file(entry: RepoFile) -> RemoteFile:
    if entry.lfs is not None:
        return RemoteFile(entry.path, entry.size, entry.lfs.sha256, None)
    return RemoteFile(entry.path, entry.size, None, entry.blob_id)


def _host(url: str) -> str:
    """The part of an address that may be printed: a signed address is a credential."""
    return urlsplit(url).netloc


def _origin(url: str) -> tuple[str, str]:
    """Scheme and host with port: what a token may be sent to."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
