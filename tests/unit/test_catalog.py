"""The catalog's shape."""

from typing import Any

import pytest
from pydantic import ValidationError

from tests.unit.weights import GUARD, model


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("revision", "main"),
        ("revision", "A" * 40),
        ("repo", "Llama-Guard-3-1B"),
        ("repo", "../x/y"),
        ("architecture", "gpt"),
        ("include", []),
        ("files", {"x": {"sha256": "short"}}),
        ("files", {"x": {"size": -1}}),
        ("fils", {}),
    ],
)
def test_a_mistake_in_the_catalog_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError) as error:
        model({**GUARD, key: value})
    assert key in str(error.value)


@pytest.mark.parametrize("name", [".staging", ".replaced", "a/b", "..", "a b", "", "A", "-a", "a\n", "a$(id)"])
def test_a_name_that_is_no_plain_directory_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as error:
        model(GUARD, name)
    assert "name" in str(error.value)


@pytest.mark.parametrize("key", ["repo", "revision", "architecture", "include", "licence"])
def test_what_says_which_model_is_meant_must_be_given(key: str) -> None:
    entry: dict[str, Any] = {other: value for other, value in GUARD.items() if other != key}
    with pytest.raises(ValidationError) as error:
        model(entry)
    assert key in str(error.value)
