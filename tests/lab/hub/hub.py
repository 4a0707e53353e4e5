"""huggingface.co, as far as a download needs it."""

from __future__ import annotations

import re

from tests.lab.hub import listing
from tests.lab.hub.handler import Handler
from tests.lab.hub.models import RENAMED, Repo

GRANTED = "hf_labGrantedGrantedGrantedGrantedGran"
UNGRANTED = "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"
NO_SCOPE = "hf_labNoScopeNoScopeNoScopeNoScopeNoSc"
TOKENS = {GRANTED: "lab-granted", UNGRANTED: "lab-ungranted", NO_SCOPE: "lab-no-scope"}


class HubHandler(Handler):
    """One connection to the Hub."""

    label = "hub"

    def answer(self, path: str) -> None:
        """Token first, as the Hub does: a wrong one is refused even for public models."""
        if self._turned_away():
            return
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in TOKENS:
            self.refuse(401, "", "Invalid credentials in Authorization header")
            return
        if path == "/api/whoami-v2":
            self._whoami(token)
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/.*)?", path):
            self._api(match[1], match[2] or "", token)
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(match[1], match[2], match[3], token)
        else:
            self.refuse(404, "", "Not Found")

    def _turned_away(self) -> bool:
        """Whether an outage or the rate limit answered already."""
        shared = self.shared
        if shared.down_for in ("", self.client_address[0]) and shared.due.take("down"):
            self.refuse(503, "", "Service Unavailable")
        elif shared.due.take("throttle"):
            self._throttle(shared.retry_after)
        else:
            return False
        return True

    def _throttle(self, seconds: int) -> None:
        """As https://huggingface.co/docs/hub/rate-limits: what is left of which budget, and when it is full again."""
        budget, quota = ("resolvers", 3000) if "/resolve/" in self.path else ("api", 500)
        words = (
            f"We had to rate limit your IP ({self.client_address[0]}). To continue using our service, create a HF "
            "account or login to your existing account, and make sure you pass a HF_TOKEN if you're using the API."
        )
        headers = {
            "Retry-After": str(seconds),
            "RateLimit": f'"{budget}";r=0;t={seconds}',
            "RateLimit-Policy": f'"fixed window";"{budget}";q={quota};w=300',
        }
        self.send_content(429, "text/plain; charset=utf-8", words.encode(), headers)

    def _whoami(self, token: str) -> None:
        if not token:
            self.refuse(401, "", "Invalid username or password.")
            return
        self.send_json({"type": "user", "name": TOKENS[token], "auth": {"type": "access_token"}})

    def _repo(self, name: str, revision: str | None, token: str) -> Repo | None:
        """The repository at that commit, or None after another answer."""
        library = self.shared.library
        if name in RENAMED:
            self._redirect(name, RENAMED[name])
        elif name not in library.commits:
            self.refuse(404 if token else 401, "RepoNotFound", "Repository not found")
        elif (repo := library.at(name, revision or "main")) is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repo
        return None

    def _redirect(self, old: str, new: str) -> None:
        """The same question to the new name; relative, so a client keeps its token."""
        where = self.path.replace(old, new, 1)
        words = f"Temporary Redirect. Redirecting to {where}"
        self.send_content(307, "text/plain; charset=utf-8", words.encode(), {"Location": where})

    def _behind_the_gate(self, repo: Repo, token: str) -> bool:
        """Whether this caller may have the content; a refusal is sent if not."""
        if not repo.gated or token == GRANTED:
            return True
        restricted = f"Access to model {repo.name} is restricted"
        if not token:
            self.refuse(
                401,
                "GatedRepo",
                f"{restricted}. You must have access to it and be authenticated to access it. Please log in.",
            )
        elif token == NO_SCOPE:
            self.refuse(
                403,
                "",
                "Please enable access to public gated repositories in your fine-grained token settings to view "
                "this repository.",
            )
        else:
            self.refuse(403, "GatedRepo", f"{restricted} and you are not in the authorized list.")
        return False

    def _api(self, name: str, rest: str, token: str) -> None:
        verb, _, argument = rest.lstrip("/").partition("/")
        revision = argument.split("/")[0] if verb in ("revision", "tree", "paths-info") else None
        repo = self._repo(name, revision, token)
        if repo is None:
            return
        if verb in ("", "revision"):
            self.send_json(listing.model_info(repo, blobs=self.query.get("blobs", "").lower() == "true"))
        elif verb == "tree":
            self.send_json(listing.tree(repo))
        elif verb == "paths-info":
            wanted = listing.wanted_paths(self.body)
            self.send_json([entry for entry in listing.tree(repo) if entry["path"] in wanted])
        elif verb == "auth-check":
            if self._behind_the_gate(repo, token):
                self.send_json({})
        else:
            self.refuse(404, "", "Not Found")

    def _resolve(self, name: str, revision: str, path: str, token: str) -> None:
        repo = self._repo(name, revision, token)
        if repo is None or not self._behind_the_gate(repo, token):
            return
        file = repo.files.get(path)
        if file is None:
            self.refuse(404, "EntryNotFound", "Entry not found")
            return
        headers = {"X-Repo-Commit": repo.revision, "ETag": f'"{file.oid}"'}
        if not file.large:
            self.send_file(repo, path, file, headers)
            return
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size), "Content-Length": "0"}
        where = self.shared.sign(f"/{repo.name}/{file.sha256}")
        self.start(302, {**headers, "Location": where})
