"""Whether a request is signed as AWS wants it (Signature Version 4), by somebody whom the lab knows."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from email.message import Message
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

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
    if not hmac.compare_digest(_signature(request, signed, owner, service, stamp), found["signature"]):
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
    request = Request("GET", re.sub("&X-Amz-Signature=[^&]*", "", target), headers, b"")
    expected = _signature(request, ["host"], owner, service, stamp)
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


def _signature(request: Request, signed: list[str], owner: aws.Credentials, service: str, stamp: str) -> str:
    """What botocore signs the same request with, from the headers that its sender signed."""
    headers = {name: request.headers.get(name, "") for name in signed}
    again = AWSRequest(request.method, f"http://{request.headers['host']}{request.target}", headers, request.body)
    again.context["timestamp"] = stamp
    signer = SigV4Auth(Credentials(owner.access_key_id, owner.secret_access_key), service, aws.REGION)
    return str(signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again))
