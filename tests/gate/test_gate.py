"""The probes' verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from on_host.verify.report import PROBES


@pytest.mark.parametrize("probe", PROBES)
def test_the_probe_passes(verified: dict[str, Any], probe: str) -> None:
    found = verified["probes"][probe]
    if found["passed"] is None and verified["passed"]:
        pytest.skip(found["skipped"])
    failed = [f"{check['leg']}: {check['name']}: {check['detail']} ({check['cause']})" for check in found["checks"]]
    passed = [check["passed"] for check in found["checks"]]
    assert passed, found["skipped"]
    assert [text for text, good in zip(failed, passed, strict=True) if not good] == []
