"""Whether a request is signed as AWS wants it (Signature Version 4), by somebody whom the lab knows.

Computed anew from the specification, not with botocore's signer: what signs and what checks are two programs.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from email.message import Message
from functools import reduce
from urllib.parse import parse_qsl, quote, urlsplit

from tests.lab import aws
from tests.lab.bedrock.errors import Refused

SERVICE = "bedrock"
_STAMP = "%Y%m%dT%H%M%SZ"
_VALID_S = 300
_SHAPE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,\s]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request,"
    r"\s*SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Request:
    """What is signed: the target and the headers as they came."""

    method: str
    target: str
    headers: Message
    body: bytes


def claimed_key(headers: Message) -> str | None:
    """The access key id that a request says it is signed with."""
    found = _SHAPE.fullmatch(headers.get("Authorization", ""))
    return found["key"] if found else None


def check(request: Request, now: float, service: str = SERVICE) -> None:
    """Return if the request is from somebody known, for `service` in this region, and not an old one.

    Raises:
        Refused: as AWS does.
    """
    if "Authorization" not in request.headers:
        raise Refused(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    found = _SHAPE.fullmatch(request.headers["Authorization"])
    if found is None:
        raise Refused(403, "IncompleteSignatureException", "Authorization header requires a complete signature.")
    owner = _owner(found["key"], request.headers.get("X-Amz-Security-Token"), now)
    if found["region"] != aws.REGION:
        raise _wrong("Credential should be scoped to a valid region. ")
    if found["service"] != service:
        raise _wrong(f"Credential should be scoped to correct service: '{service}'. ")
    signed = found["headers"].split(";")
    if "host" not in signed or "x-amz-date" not in signed:
        raise _wrong("'Host' or 'X-Amz-Date' must be a 'SignedHeader' in the AWS Authorization.")
    stamp = request.headers.get("X-Amz-Date", "")
    _check_age(stamp, found["day"], now)
    expected = _signature(owner.secret_access_key, found, stamp, _canonical(request, signed))
    if not hmac.compare_digest(expected, found["signature"]):
        raise _wrong(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details."
        )


def check_url(target: str, headers: Message, now: float, service: str) -> None:
    """The same for a GET whose signature is in its URL, for as many seconds as that says.

    Raises:
        Refused: as AWS does.
    """
    url = urlsplit(target)
    fields = dict(parse_qsl(url.query))
    scope = re.fullmatch(
        rf"(?P<key>[^/]+)/(?P<day>\d{{8}})/(?P<region>{aws.REGION})/(?P<service>{service})/aws4_request",
        fields.get("X-Amz-Credential", ""),
    )
    if scope is None or fields.get("X-Amz-SignedHeaders") != "host":
        raise _wrong("The URL is not signed for this service and region.")
    owner = _owner(scope["key"], fields.get("X-Amz-Security-Token"), now)
    stamp = fields["X-Amz-Date"]
    _check_age(stamp, scope["day"], now)
    if datetime.strptime(stamp, _STAMP).replace(tzinfo=timezone.utc).timestamp() + int(fields["X-Amz-Expires"]) < now:
        raise _wrong("The URL has expired.")
    pairs = [pair for pair in url.query.split("&") if not pair.startswith("X-Amz-Signature=")]
    request = Request("GET", f"{url.path}?{'&'.join(pairs)}", headers, b"")
    expected = _signature(owner.secret_access_key, scope, stamp, _canonical(request, ["host"]))
    if not hmac.compare_digest(expected, fields.get("X-Amz-Signature", "")):
        raise _wrong("The URL's signature does not match.")


def _wrong(message: str) -> Refused:
    return Refused(403, "InvalidSignatureException", message)


def _owner(key: str, token: str | None, now: float) -> aws.Credentials:
    known = aws.find(key, now)
    if known is None or known.token != token:
        raise Refused(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
    if known.expires is not None and known.expires <= now:
        raise Refused(403, "ExpiredTokenException", "The security token included in the request is expired")
    return known


def _check_age(stamp: str, day: str, now: float) -> None:
    try:
        signed = datetime.strptime(stamp, _STAMP).replace(tzinfo=timezone.utc).timestamp()
    except ValueError as error:
        raise _wrong("Date must be in ISO-8601 'basic format'.") from error
    if not stamp.startswith(day):
        raise _wrong(f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date: '{day}'.")
    if signed < now - _VALID_S:
        raise _wrong(
            f"Signature expired: {stamp} is now earlier than {_stamp(now - _VALID_S)} ({_stamp(now)} - 5 min.)"
        )
    if signed > now + _VALID_S:
        raise _wrong(f"Signature not yet current: {stamp} is still later than {_stamp(now + _VALID_S)}")


def _stamp(when: float) -> str:
    return datetime.fromtimestamp(when, timezone.utc).strftime(_STAMP)


def _canonical(request: Request, signed: list[str]) -> str:
    """The request in the one spelling that both sides hash."""
    url = urlsplit(request.target)
    # Every service but S3 quotes the path, quoted as it already is, once more.
    path = quote(url.path, safe="/-_.~")
    query = "&".join(sorted(pair if "=" in pair else f"{pair}=" for pair in url.query.split("&") if pair))
    headers = "".join(f"{name}:{_values(request.headers, name)}\n" for name in signed)
    body = hashlib.sha256(request.body).hexdigest()
    return "\n".join([request.method, path, query, headers, ";".join(signed), body])


def _values(headers: Message, name: str) -> str:
    return ",".join(" ".join(str(value).split()) for value in headers.get_all(name, []))


def _signature(secret: str, found: re.Match[str], stamp: str, canonical: str) -> str:
    scope = [found["day"], found["region"], found["service"], "aws4_request"]
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, "/".join(scope), hashed])
    key = reduce(_mac, scope, f"AWS4{secret}".encode())
    return _mac(key, text).hex()


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
