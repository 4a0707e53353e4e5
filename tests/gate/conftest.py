"""The gate as tests: the run of deploys/verify.py, one test for each probe and host.

pytest tests/gate --inventory inventories/prod.py [--host NAME] [--ssh-user USER] [--rotation]

With -s its lines appear while it runs. Nothing on a host is changed, but by --rotation.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.inventory import ROOT, once_a_host


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test runs once for each voice host of the inventory."""
    once_a_host(metafunc, "verified")


@pytest.fixture(scope="session")
def verified(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The document of the host of that name."""
    report = tmp_path_factory.mktemp("gate") / "report.json"
    rotation = str(request.config.getoption("--rotation")).lower()
    data = [f"gate_report={report}", f"gate_rotation={rotation}"]
    words = ["-y", "--limit", request.param, *(word for each in data for word in ("--data", each))]
    inventory, user = request.config.getoption("--inventory"), request.config.getoption("--ssh-user")
    words += ["--ssh-user", user] if user else []
    run = [str(Path(sys.executable).with_name("pyinfra")), *words, inventory, "deploys/verify.py"]
    status = subprocess.run(run, cwd=ROOT, check=False, stdin=subprocess.DEVNULL).returncode
    assert report.exists(), f"the verification ended with status {status} and without a document; its lines say why"
    document: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))["hosts"][request.param]
    assert (status == 0) == document["passed"]
    return document
