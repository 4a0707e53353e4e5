"""How vLLM's API server refuses a request; what pydantic says of its fields is handed on in its words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class ApiError(Exception):
    """An answer in vLLM's error shape."""

    def __init__(
        self, message: str, *, status: int = 400, kind: str = "BadRequestError", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": status}}


def too_long(context: int, asked: int, prompt: str, total: str, value: int) -> ApiError:
    """What does not fit into the context."""
    return ApiError(
        f"This model's maximum context length is {context} tokens. However, you requested {asked} output tokens and "
        f"your prompt contains {prompt} input tokens, for a total of {total} tokens. Please reduce the length of the "
        f"input prompt or the number of requested output tokens. (parameter=input_tokens, value={value})",
        param="input_tokens",
    )


class Fault(NamedTuple):
    """What is wrong with a value."""

    type: str
    message: str
    context: dict[str, Any] | None = None


Check = Callable[[Any], "Fault | None"]


def refusal(*issues: Mapping[str, Any]) -> ApiError:
    """The answer to a request with these issues."""
    lines = [f"{len(issues)} validation error{'s' if len(issues) > 1 else ''}:", *map(str, issues)]
    return ApiError("\n  ".join(lines), kind="Bad Request")


def issue(fault: Fault, value: object, *place: str | int) -> dict[str, Any]:
    """One issue as pydantic lists it, the refused value included."""
    found = {"type": fault.type, "loc": ("body", *place), "msg": fault.message, "input": value}
    return found if fault.context is None else {**found, "ctx": fault.context}


def value_error(message: str, value: object, *place: str) -> dict[str, Any]:
    """What a validator of the model's own raised."""
    return issue(Fault("value_error", f"Value error, {message}", {"error": ValueError(message)}), value, *place)


def check(body: Mapping[str, Any], required: str, fields: Mapping[str, Check]) -> None:
    """Refuse a body without its `required` field, or with a wrong one.

    Raises:
        ApiError: if it is refused.
    """
    issues = [] if required in body else [issue(Fault("missing", "Field required"), body, required)]
    for name, checked in fields.items():
        value = body.get(name)
        if (value is not None or name == required) and name in body and (fault := checked(value)):
            issues.append(issue(fault, value, name))
    if issues:
        raise refusal(*issues)


def text(value: object) -> Fault | None:
    """A string."""
    return None if isinstance(value, str) else Fault("string_type", "Input should be a valid string")


def listing(value: object) -> Fault | None:
    """A list."""
    return None if isinstance(value, list) else Fault("list_type", "Input should be a valid list")


def mapping(value: object) -> Fault | None:
    """An object."""
    return None if isinstance(value, dict) else Fault("dict_type", "Input should be a valid dictionary")


def integer(value: object) -> Fault | None:
    """A whole number."""
    if isinstance(value, int):
        return None
    return Fault("int_parsing", "Input should be a valid integer, unable to parse string as an integer")


def number(value: object) -> Fault | None:
    """A number."""
    if isinstance(value, int | float):
        return None
    return Fault("float_parsing", "Input should be a valid number, unable to parse string as a number")


def between(least: float, most: float) -> Check:
    """A number in a range."""

    def checked(value: Any) -> Fault | None:
        if fault := number(value):
            return fault
        if value > most:
            return Fault("less_than_equal", f"Input should be less than or equal to {most:g}", {"le": most})
        if value < least:
            return Fault("greater_than_equal", f"Input should be greater than or equal to {least:g}", {"ge": least})
        return None

    return checked


def one_of(*words: str) -> Check:
    """One of some words."""
    *others, last = (f"'{word}'" for word in words)
    expected = f"{', '.join(others)} or {last}"
    fault = Fault("literal_error", f"Input should be {expected}", {"expected": expected})
    return lambda value: None if value in words else fault
