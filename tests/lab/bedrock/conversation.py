"""What Converse takes. AWS's words where they are known; a wrong structure is refused in botocore's."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from tests.lab.bedrock.errors import invalid
from tests.lab.bedrock.models import Model

_MOST = {"temperature": 1, "topP": 1}
"""What botocore's own check leaves out: it knows lower bounds only."""
_ROLES = ("user", "assistant")


@dataclass(frozen=True)
class Conversation:
    """The part of a valid request that the stand-in understands."""

    message: str
    """The text of the last message, which is the user's."""
    system: str
    words: int
    max_tokens: int | None


@functools.cache
def shape() -> Any:
    """The API's own description of the request, from botocore."""
    service = botocore.session.get_session().get_service_model("bedrock-runtime")
    return service.operation_model("ConverseStream").input_shape


def read(body: bytes, model_id: str, model: Model) -> Conversation:
    """The conversation that a request carries.

    Raises:
        Refused: if Converse would not take it.
    """
    request = _structure(body, model_id)
    _check_ranges(request.get("inferenceConfig") or {})
    messages, system = request.get("messages") or [], request.get("system") or []
    _check_turns([message["role"] for message in messages])
    for number, message in enumerate(messages):
        _check_content(message["content"], number)
    if system and not model.takes_system:
        raise invalid(
            "This model doesn't support system messages. Try again without a system message or use a model that "
            "supports system messages."
        )
    texts = [_text(message["content"]) for message in messages]
    return Conversation(
        texts[-1],
        _text(system),
        len(" ".join([_text(system), *texts]).split()),
        (request.get("inferenceConfig") or {}).get("maxTokens"),
    )


def _structure(body: bytes, model_id: str) -> dict[str, Any]:
    """The request, every member of which is of the kind that the API describes."""
    try:
        request = json.loads(body)
    except ValueError as error:
        raise invalid("The request body is not valid JSON.") from error
    whole = {**request, "modelId": model_id} if isinstance(request, dict) else request
    faults = ParamValidator().validate(whole, shape())
    if faults.has_errors():
        raise invalid(faults.generate_report())
    return dict(request)


def _check_ranges(config: dict[str, Any]) -> None:
    for name, most in _MOST.items():
        if config.get(name, 0) > most:
            rule = f"Member must have value less than or equal to {most}"
            raise _constraint(config[name], f"inferenceConfig.{name}", rule)


def _constraint(value: object, where: str, rule: str) -> Exception:
    return invalid(f"1 validation error detected: Value '{value}' at '{where}' failed to satisfy constraint: {rule}")


def _check_turns(roles: list[str]) -> None:
    for number, role in enumerate(roles, 1):
        if role not in _ROLES:
            rule = "Member must satisfy enum value set: [user, assistant]"
            raise _constraint(role, f"messages.{number}.member.role", rule)
    if not roles or roles[0] != "user":
        raise invalid(
            "A conversation must start with a user message. Try again with a conversation that starts with a user "
            "message."
        )
    if any(role == following for role, following in pairwise(roles)):
        raise invalid(
            "A conversation must alternate between user and assistant roles. Make sure the conversation alternates "
            "between user and assistant roles and try again."
        )
    if roles[-1] != "user":
        raise invalid(
            "The model that you are using requires the last turn in the conversation to be a user message. Add a user "
            "message to the conversation and try again."
        )


def _check_content(content: list[dict[str, Any]], number: int) -> None:
    if not content:
        raise invalid(
            f"The content field in the Message object at messages.{number} is empty. Add a ContentBlock object to the "
            "content field and try again."
        )
    for place, block in enumerate(content):
        if not block.get("text", "something else").strip():
            raise invalid(
                f"The text field in the ContentBlock object at messages.{number}.content.{place} is blank. Add text "
                "to the text field, and try again."
            )


def _text(blocks: list[dict[str, Any]]) -> str:
    return "\n".join(block["text"] for block in blocks if "text" in block)
