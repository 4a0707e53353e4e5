"""What is left: the programs and the configuration that the containers and the host read."""

from __future__ import annotations

import ast
import io
import json
import logging.config

import pytest

from tests.render import matrix

PROGRAMS = [path for path in matrix.case().files if path.endswith(".py")]


@pytest.mark.parametrize("path", PROGRAMS)
def test_the_oldest_python_it_meets_can_read_it(path: str) -> None:
    """Ubuntu 22.04 has 3.10; the engines' images have 3.12."""
    ast.parse(matrix.case().text(path), feature_version=(3, 10))


def test_pythons_logging_takes_the_engines_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """As vLLM does it: json.loads, then dictConfig."""
    stdout = io.StringIO()
    monkeypatch.setattr("sys.stdout", stdout)
    logging.config.dictConfig(json.loads(matrix.case().text("engine/logging.json")))
    logging.getLogger("vllm.engine").info("KV cache")
    logging.getLogger("vllm_omni.entrypoints.openai.serving_speech").info("what a caller hears")
    said = stdout.getvalue()
    monkeypatch.undo()
    logging.getLogger("vllm").handlers.clear()
    assert "KV cache" in said
    assert "caller" not in said
