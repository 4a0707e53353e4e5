"""The server: Converse and ConverseStream, for who signs as AWS wants it.

Faults and measurements, for tests:
    POST /lab/deny?on=1[&client=IP]     the account has no access to any model, 403 AccessDeniedException; forbid: the
                                        role lacks the permission, the same; end: each model is at the end of its life,
                                        404 ResourceNotFoundException; legacy: near it, the same (0: all as before).
                                        With client: for who asks from that address alone
    POST /lab/throttle?for=N            the next N requests are answered 429 ThrottlingException; mind that botocore
                                        repeats what was throttled
    POST /lab/down?for=N                the next N requests are answered 503 ServiceUnavailableException
    POST /lab/break-stream[?for=N]      the next N streams (1) end in the middle with a modelStreamErrorException
    POST /lab/slow?first=MS&between=MS  milliseconds before the first word and before each further one (0: at once)
    POST /lab/reset                     forget faults and log
    GET  /lab/log                       every request: time, method, path, status, whether the answer went out whole,
                                        access_key_id it claimed, and message_sha256 of the last user message once the
                                        request was accepted; never what was said
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Mapping
from itertools import islice
from urllib.parse import unquote

from tests.lab.bedrock import conversation, events, models, signature
from tests.lab.bedrock.conversation import Conversation
from tests.lab.bedrock.errors import Refused
from tests.lab.bedrock.faults import Faults
from tests.lab.bedrock.replies import reply
from tests.lab.controlled import ControlledHandler, ControlledServer

_PATH = re.compile(r"/model/(?P<model>[^/]+)/converse(?P<stream>-stream)?")
_ORIGIN = ":http://internal.amazon.com/coral/com.amazon.bedrock/"
"""What AWS adds to the names of Bedrock's own errors."""


class BedrockServer(ControlledServer):
    """The listening server with its faults."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.faults = Faults()
        conversation.shape()  # reading it takes a while, which belongs to no request
        super().__init__((address, port), BedrockHandler)

    def control(self, verb: str, query: Mapping[str, str]) -> bool:
        """The verbs of this module's description."""
        return self.faults.control(verb, query)


class BedrockHandler(ControlledHandler):
    """One connection."""

    server: BedrockServer

    def route(self, path: str) -> None:
        """Answer, or refuse as AWS does."""
        self.entry |= {"access_key_id": signature.claimed_key(self.headers), "message_sha256": None}
        self._began = time.monotonic()
        try:
            found = self._admit(path)
            asked = self._read(unquote(found["model"]))
        except Refused as refused:
            self._refuse(refused)
            return
        answer, reason = _words(reply(asked.message, asked.system), asked.max_tokens)
        if found["stream"]:
            self._stream(answer, reason, asked)
        else:
            self._answer(answer, reason, asked)

    def _admit(self, path: str) -> re.Match[str]:
        """Who asks for what."""
        faults = self.server.faults
        faults.check_down()
        signature.check(signature.Request(self.command, self.path, self.headers, self.body), time.time())
        faults.check_quota()
        found = _PATH.fullmatch(path)
        if found is None or self.command != "POST":
            raise Refused(404, "UnknownOperationException", "")
        return found

    def _read(self, model_id: str) -> Conversation:
        """What is said to which model."""
        model = models.find(model_id)
        self.server.faults.check_access(self.client_address[0], model_id)
        asked = conversation.read(self.body, model_id, model)
        self.entry["message_sha256"] = hashlib.sha256(asked.message.encode()).hexdigest()
        return asked

    def _refuse(self, refused: Refused) -> None:
        origin = _ORIGIN if refused.status != 403 or refused.kind == "AccessDeniedException" else ""
        headers = {"x-amzn-ErrorType": refused.kind + origin, "x-amzn-RequestId": str(uuid.uuid4())}
        self.send_json({"message": refused.message}, refused.status, headers)

    def _answer(self, words: list[str], reason: str, asked: Conversation) -> None:
        self.server.faults.await_first()
        self.server.faults.await_next(len(words) - 1)
        message = {"role": "assistant", "content": [{"text": "".join(words)}]}
        whole = {"output": {"message": message}, "stopReason": reason, **self._figures(words, asked)}
        self.send_json(whole, headers={"x-amzn-RequestId": str(uuid.uuid4())})

    def _stream(self, words: list[str], reason: str, asked: Conversation) -> None:
        kind = "application/vnd.amazon.eventstream"
        headers = {"Content-Type": kind, "Transfer-Encoding": "chunked", "x-amzn-RequestId": str(uuid.uuid4())}
        self.start(200, headers)
        faults = self.server.faults
        broken = faults.takes_break()
        faults.await_first()
        self._send(events.event("messageStart", {"role": "assistant"}))
        for number, word in enumerate(islice(words, len(words) // 2 if broken else None)):
            if number:
                faults.await_next()
            self._send(events.event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}}))
        if broken:
            problem = {"message": "The model's stream ended in an error.", "originalStatusCode": 500}
            self._send(events.exception("modelStreamErrorException", problem))
        else:
            self._send(events.event("contentBlockStop", {"contentBlockIndex": 0}))
            self._send(events.event("messageStop", {"stopReason": reason}))
            self._send(events.event("metadata", self._figures(words, asked)))
        self._send(b"")

    def _send(self, data: bytes) -> None:
        """One chunk; an empty one is the end."""
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _figures(self, words: list[str], asked: Conversation) -> dict[str, object]:
        """Usage and latency; a word counts as a token."""
        usage = {"inputTokens": asked.words, "outputTokens": len(words), "totalTokens": asked.words + len(words)}
        return {"usage": usage, "metrics": {"latencyMs": round(1000 * (time.monotonic() - self._began))}}


def _words(text: str, most: int | None) -> tuple[list[str], str]:
    """The words that fit, each with the space before it as a model's tokens have it, and why there are no more."""
    words = re.findall(r"\s*\S+", text)
    return (words[:most], "max_tokens") if most is not None and most < len(words) else (words, "end_turn")
