"""Plain vLLM's chat route, answering as Llama Guard."""

from __future__ import annotations

import time
import uuid
from typing import Any

from .guard import CATEGORIES, judge
from .server import ApiError, Handler

_TEMPLATE_TOKENS = 210
"""What Llama Guard's own prompt adds around a conversation."""


class GuardHandler(Handler):
    """The chat route and plain vLLM's health."""

    def get(self) -> None:
        """Health without a body, and the shared routes."""
        if self.path == "/health":
            self.send_body(b"", "text/plain")
        else:
            super().get()

    def post(self) -> None:
        """POST /v1/chat/completions."""
        if self.path != "/v1/chat/completions":
            super().post()
            return
        request = self.body()
        self.check_model(request.get("model"))
        texts = conversation(request.get("messages"))
        answer = complete(request, texts, self.server.names[0], self.server.length)
        self.server.requests += 1
        if not self.fault():
            self.send_json(answer)


def _text(content: object) -> str:
    """A message's text: a string, or OpenAI content parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    raise ApiError("1 validation error:\n  {'type': 'missing', 'loc': ('body', 'messages', 0, 'content')}")


def conversation(messages: object) -> list[str]:
    """The texts; Llama Guard's template refuses roles that do not alternate, a system role among them."""
    if not isinstance(messages, list) or not messages:
        raise ApiError(
            "1 validation error:\n  {'type': 'missing', 'loc': ('body', 'messages'), 'msg': 'Field required'}"
        )
    for index, message in enumerate(messages):
        if message.get("role") != ("user", "assistant")[index % 2]:
            raise ApiError("Conversation roles must alternate user/assistant/user/assistant/...")
    return [_text(message.get("content")) for message in messages]


def _categories(options: dict[str, Any]) -> set[str]:
    """What counts, as Llama Guard's template reads it: the given categories or all, without the excluded ones."""
    return set(options.get("categories") or CATEGORIES) - set(options.get("excluded_category_keys") or ())


def complete(request: dict[str, Any], texts: list[str], model: str, length: int) -> dict[str, Any]:
    """The judgement of the last message as a chat completion."""
    if request.get("stream"):
        raise ApiError("The lab's stand-in does not stream chat completions")
    prompt = _TEMPLATE_TOKENS + sum(len(text) // 4 + 1 for text in texts)
    if prompt >= length:
        raise ApiError(
            f"This model's maximum context length is {length} tokens. However, your request has {prompt} input "
            "tokens. Please reduce the length of the input messages."
        )
    allowed = request.get("max_completion_tokens") or request.get("max_tokens") or length
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
                "message": {"role": "assistant", "content": answer, "tool_calls": []},
                "logprobs": None,
                "finish_reason": "stop" if len(tokens) < allowed else "length",
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": min(len(tokens) + 1, allowed),
            "total_tokens": prompt + min(len(tokens) + 1, allowed),
        },
    }
