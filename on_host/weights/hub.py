"""The Hub, or a mirror of it, through the real huggingface-hub client: gates, listing, byte ranges.

The client asks, follows redirects on the Hub and says why it was refused. The bytes are streamed here, over its
session: it would neither resume after a kill nor hash what it gets over HTTP (see requirements-fetch.in).

The token goes to the Hub's own origin and nowhere else: large files are redirected to another host by a signed
address, and that request carries no Authorization header.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import HfApi, RepoFile, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import build_hf_headers, get_session  # type: ignore[attr-defined]

from on_host.weights.digest import Expected
from on_host.weights.origin import RefusedError, Source, UnreachableError

TIMEOUT_S = 30.0
"""For connecting, and between two pieces of a body."""

MAX_WAIT_S = 300.0
"""The longest wait that a server may ask for."""


class Hub:
    """One repository at one commit on one Hub.

    Args:
        endpoint: the Hub's address without a trailing slash.
        token: stays in this process's memory; None for none.
        source: which repository and commit.
    """

    def __init__(self, endpoint: str, token: str | None, source: Source) -> None:
        self.endpoint = endpoint.rstrip("/")
        self.source = source
        self._token: str | bool = token or False
        self._api = HfApi(endpoint=self.endpoint, token=self._token)
        self._locations: dict[str, str] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def place(self) -> str:
        """The Hub's host."""
        return _host(self.endpoint)

    def check_access(self) -> None:
        """Ask for access and for the commit; costs two small requests.

        Raises:
            RefusedError: no access, no such repository or commit, or no answer.
        """
        with self._explained():
            info = self._api.model_info(self.source.repo, revision=self.source.revision, timeout=TIMEOUT_S)
            if info.id != self.source.repo:
                raise RefusedError(
                    f"{self.source.repo} is now called {info.id}. Read what changed on {self.endpoint}/{info.id}, "
                    "then correct the repo in weights_catalog."
                )
            self._api.auth_check(self.source.repo)

    def listing(self) -> dict[str, Expected]:
        """Every file of the commit by path."""
        with self._explained():
            tree = self._api.list_repo_tree(self.source.repo, revision=self.source.revision, recursive=True)
            return {entry.path: _expected(entry) for entry in tree if isinstance(entry, RepoFile)}

    @contextmanager
    def stream(self, path: str, start: int, end: int | None = None) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The bytes of a file from `start` to before `end`; see Origin.

        A fixed piece size would lose what was gathered for one when the line is cut: pieces are as they arrive.
        """
        with self._explained():
            where = self._locate(path)
            headers = {"Accept-Encoding": "identity"}
            if start or end is not None:
                headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
            if _origin(where) == _origin(self.endpoint):
                headers |= build_hf_headers(token=self._token)
            with get_session().stream("GET", where, headers=headers, timeout=TIMEOUT_S) as answer:
                if answer.status_code not in (200, 206):
                    # A signed address expires; whatever this is, a new one may do better.
                    self._locations.pop(path, None)
                    words = f"{self.source}: {_host(where)} answers {answer.status_code} for {path}."
                    raise UnreachableError(words, _retry_after(answer.headers))
                yield (start if answer.status_code == 206 else 0), answer.iter_raw()

    def _locate(self, path: str) -> str:
        """The address of a file's bytes; asked for once and again when it does not answer any more."""
        with self._locks[path]:
            if path not in self._locations:
                url = hf_hub_url(self.source.repo, path, revision=self.source.revision, endpoint=self.endpoint)
                metadata = get_hf_file_metadata(url, token=self._token, timeout=TIMEOUT_S, endpoint=self.endpoint)
                if metadata.commit_hash not in (None, self.source.revision):
                    raise RefusedError(f"{self.source}: the Hub answers with commit {metadata.commit_hash} for {path}.")
                self._locations[path] = metadata.location
            return self._locations[path]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the client's exceptions into sentences with a way out."""
        try:
            yield
        except HfHubHTTPError as error:
            words = _explain(error, self.source, self.endpoint, bool(self._token))
            if error.response.status_code == 429 or error.response.status_code >= 500:
                raise UnreachableError(words, _retry_after(error.response.headers)) from None
            raise RefusedError(words) from None
        except httpx2.TransportError as error:
            raise UnreachableError(
                f"The line to {self.place} (or to where it redirects) fails: {type(error).__name__}, {error}. "
                "Check the network, a proxy, and the setting weights_endpoint."
            ) from None
        except ValueError as error:
            raise RefusedError(
                f"{self.place} does not answer like a Hub ({error}). Check the setting weights_endpoint."
            ) from None


def _explain(error: HfHubHTTPError, source: Source, endpoint: str, with_token: bool) -> str:
    """Why the Hub refused, and the page to visit or the setting to fix."""
    status = error.response.status_code
    page = f"{endpoint}/{source.repo}"
    said = error.response.headers.get("X-Error-Message", "")
    if isinstance(error, GatedRepoError) or (status == 403 and "fine-grained" in said):
        return _explain_gate(source, endpoint, said if with_token else None)
    if isinstance(error, RevisionNotFoundError):
        return (
            f"{source.repo} has no commit {source.revision}. Its owner rewrote the history, or the catalog has "
            f"a mistake: compare with {page}/commits/main and correct the revision in weights_catalog."
        )
    if isinstance(error, RepositoryNotFoundError):
        blind = "the token may not see it" if with_token else "no token was given"
        return f"{page} does not exist, or is private and {blind}. Check the repo in weights_catalog."
    if status == 401:
        return (
            f"The Hub does not know the token in HF_TOKEN ({said or 'Unauthorized'}): expired, revoked or "
            f"mistyped. See {endpoint}/settings/tokens."
        )
    if status >= 500:
        return (
            f"{_host(endpoint)} has trouble: it answers {status} ({said or error.response.reason_phrase}). Wait, or "
            "name a mirror in weights_endpoint; for huggingface.co see https://status.huggingface.co."
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


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks us to wait, at most MAX_WAIT_S; it may say a date instead, which we pass over."""
    words = headers.get("Retry-After", "")
    return min(float(words), MAX_WAIT_S) if words.isascii() and words.isdigit() else 0


def _expected(entry: RepoFile) -> Expected:
    if entry.lfs is not None:
        return Expected(entry.size, sha256=entry.lfs.sha256)
    return Expected(entry.size, git_sha1=entry.blob_id)


def _host(url: str) -> str:
    """The part of an address that may be printed: a signed address is a credential, and so may a user's name be."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _origin(url: str) -> tuple[str, str]:
    """Scheme and host with port: what a token may be sent to."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
