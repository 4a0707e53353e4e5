"""The host with the large files. It checks the signed address, never a token."""

from __future__ import annotations

from tests.lab.hub.handler import Handler

_XML = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>{}</Message></Error>'


class CdnHandler(Handler):
    """One connection to the CDN."""

    label = "cdn"

    def answer(self, path: str) -> None:
        """`/ORG/NAME/SHA256` with the signature that the Hub made for it."""
        objection = self.shared.objection(path, self.query.get("X-Signature", ""))
        name, _, digest = path.strip("/").rpartition("/")
        found = self.shared.library.find(name, digest)
        if objection or found is None:
            self.send_content(403, "text/xml", _XML.format(objection or "Access denied").encode())
            return
        repo, inside, file = found
        headers = {"ETag": f'"{digest}"', "Content-Type": "application/octet-stream"}
        self.send_file(repo, inside, file, headers, with_ranges=not self.shared.no_ranges)
