"""Progress lines: what, how far, how fast, how long still; no more often than every few seconds."""

import time

import pytest

from on_host.weights.progress import Progress, duration, size


def test_lines_come_every_few_seconds_and_say_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress(10_000_000)
    progress.model("guard", 4_000_000)
    for _ in range(40):
        now[0] += 0.1
        progress.add(100_000)
    assert capsys.readouterr().out == (
        "guard: 3.0 MB of 4.0 MB (75 %); all models: 3.0 MB of 10.0 MB (30 %), 1.0 MB/s, 7 s left\n"
    )
    assert progress.summary() == "4.0 MB in 4 s, 1.0 MB/s"


def test_bytes_fetched_again_make_the_way_longer() -> None:
    progress = Progress(100)
    progress.model("guard", 100)
    progress.add(100)
    progress.again(100)
    assert progress.line().startswith("guard: 100 B of 200 B (50 %)")


def test_units() -> None:
    assert [size(n) for n in (12, 1_500, 2_000_000, 8_004_752_248)] == ["12 B", "1.5 kB", "2.0 MB", "8.0 GB"]
    assert [duration(s) for s in (4.4, 200, float("inf"))] == ["4 s", "3 min 20 s", "unknown time"]
