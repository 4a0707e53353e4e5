"""What is left: the programs and the configuration that the containers and the host read, and the Dockerfiles."""

from __future__ import annotations

import ast
import io
import json
import logging.config
import subprocess
from pathlib import Path

import pytest

from deploys.stack.render import REPOSITORY
from tests.render import matrix

# Ubuntu 22.04 is the oldest host; the engines' images have Python 3.12.
PYTHON = {"bin/start.py": (3, 10), "bin/causes.py": (3, 10), "engine/gpu_start.py": (3, 10), "engine/health.py": (3, 10)}


@pytest.mark.parametrize(("path", "version"), PYTHON.items())
def test_the_oldest_python_it_meets_can_read_it(path: str, version: tuple[int, int]) -> None:
    ast.parse(matrix.case().text(path), feature_version=version)


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


def test_start_py_reads_its_plan() -> None:
    """Every service of compose.yml stands in one group and has a time; start.py looks both up by name."""
    plan = json.loads(matrix.case().text("bin/start.json"))
    named = [service for group in plan["groups"] for service in group]
    assert sorted(named) == sorted(plan["timeouts"])
    assert len(named) == len(set(named))


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("*/Dockerfile")), ids=lambda path: path.parent.name)
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    hadolint = REPOSITORY / ".venv/bin/hadolint"
    done = subprocess.run([hadolint, "--no-color", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
