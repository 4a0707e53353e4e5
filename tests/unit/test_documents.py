"""Documents that repeat what the code says are made from it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readmes_settings_are_those_of_group_data() -> None:
    """If this fails: `.venv/bin/python docs/generate.py`."""
    generate = generator()
    readme = (ROOT / "README.md").read_text()
    table = generate.settings_table((ROOT / "group_data" / "all.py").read_text())
    assert generate.with_table(readme, table) == readme


def test_every_finding_of_the_handover_has_a_test_named_after_it() -> None:
    names = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    found = {
        int(number)
        for match in re.findall(r"def test_finding((?:_(?:and_)?\d\d)+)_", names)
        for number in re.findall(r"\d\d", match)
    }
    assert found == set(range(1, 19))


def test_the_runbook_tells_of_every_finding_and_names_tests_that_exist() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    rows = re.findall(r"^\| (\d+) \|.*$", runbook, re.MULTILINE)
    assert [int(number) for number in rows] == list(range(1, 19))
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_finding_\w+)`", runbook)
    assert [name for name in named if f"def {name}(" not in tests] == []
