"""Plain vLLM's chat route, answering as Llama Guard."""

from __future__ import annotations

import time
import uuid
from typing import Any

from .guard import CATEGORIES, judge
from .refusals import ApiError, Fault, check, integer, issue, listing, mapping, number, refusal, too_long
from .server import Handler

_TEMPLATE_TOKENS = 210
"""What Llama Guard's own prompt adds around a conversation."""
_FIELDS = {
    "messages": listing,
    "temperature": number,
    "max_tokens": integer,
    "max_completion_tokens": integer,
    "chat_template_kwargs": mapping,
}


class GuardHandler(Handler):
    """The chat route."""

    def post(self) -> None:
        """POST /v1/chat/completions."""
        if self.path != "/v1/chat/completions":
            super().post()
            return
        request = self.body()
        check(request, "messages", _FIELDS)
        self.check_model(request.get("model"))
        texts = conversation(request["messages"])
        answer = complete(request, texts, self.server.names[0], self.server.length)
        self.server.requests += 1
        if not self.fault():
            self.send_json(answer)

    def metrics(self) -> str:
        """Two of vLLM's families; vllm-omni 0.18 has none for speech."""
        label = f'{{model_name="{self.server.names[0]}"}}'
        return super().metrics() + (
            "# TYPE vllm:num_requests_running gauge\n"
            f"vllm:num_requests_running{label} 0.0\n"
            "# TYPE vllm:request_success_total counter\n"
            f"vllm:request_success_total{label} {float(self.server.requests)}\n"
        )

    def no_object(self, content: object) -> ApiError:
        """A validator of 0.18's that looks into a list as if it were an object."""
        message = f"'{type(content).__name__}' object has no attribute 'get'"
        return ApiError(message, status=500, kind="InternalServerError")


def _text(content: object) -> str:
    """A message's text: a string, OpenAI content parts, or nothing."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def conversation(messages: list[Any]) -> list[str]:
    """The texts; Llama Guard's template refuses roles that do not alternate, a system role among them."""
    if not messages:
        raise ApiError("list index out of range")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise refusal(issue(Fault("dict_type", "Input should be a valid dictionary"), message, "messages", index))
        if "role" not in message:
            raise refusal(issue(Fault("missing", "Field required"), message, "messages", index, "role"))
        if (message["role"] == "user") != (index % 2 == 0):
            raise ApiError("Conversation roles must alternate user/assistant/user/assistant/...")
    return [_text(message.get("content")) for message in messages]


def _categories(options: dict[str, Any]) -> set[str]:
    """What counts, as Llama Guard's template reads it: the given categories or all, without the excluded ones."""
    return set(options.get("categories") or CATEGORIES) - set(options.get("excluded_category_keys") or ())


def _too_little(name: str, least: str, value: float) -> ApiError:
    return ApiError(f"{name} must be {least}, got {value}. (parameter={name}, value={value})", param=name)


def complete(request: dict[str, Any], texts: list[str], model: str, length: int) -> dict[str, Any]:
    """The judgement of the last message as a chat completion."""
    if request.get("stream"):
        raise ApiError("The lab's stand-in does not stream chat completions")
    prompt = _TEMPLATE_TOKENS + sum(len(text) // 4 + 1 for text in texts)
    allowed = request.get("max_completion_tokens") or request.get("max_tokens")
    if (asked := request.get("max_tokens")) is not None and asked < 1:
        raise _too_little("max_tokens", "at least 1", asked)
    if (temperature := float(request.get("temperature") or 0)) < 0:
        raise _too_little("temperature", "non-negative", temperature)
    if prompt + (allowed or 1) > length:
        room = length - (allowed or 0) + 1
        raise too_long(length, allowed or 0, f"at least {room}", f"at least {length + 1}", room)
    allowed = allowed or length
    tokens = judge(texts[-1], _categories(request.get("chat_template_kwargs") or {}))
    answer = "".join(tokens[:allowed])
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {
                    **dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning")),
                    **{"role": "assistant", "content": answer, "tool_calls": []},
                },
                "finish_reason": "stop" if len(tokens) < allowed else "length",
                **dict.fromkeys(("logprobs", "stop_reason", "token_ids")),
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": min(len(tokens) + 1, allowed),
            "total_tokens": prompt + min(len(tokens) + 1, allowed),
            "prompt_tokens_details": None,
        },
        **dict.fromkeys(("service_tier", "system_fingerprint", "prompt_logprobs", "prompt_token_ids")),
        "kv_transfer_params": None,
    }
