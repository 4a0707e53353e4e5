from __future__ import annotations

import json
import logging
import sys

from voice_agent.logs import JsonFormatter

from stands import PLANTED


def formatted(**extra: object) -> str:
    record = logging.LogRecord("livekit.agents", logging.WARNING, __file__, 1, "said %s", ("this",), None)
    record.__dict__.update(extra)
    return JsonFormatter().format(record)


def test_only_listed_fields_get_through() -> None:
    line = json.loads(formatted(room="r1", user_transcript=PLANTED, error=ValueError(PLANTED)))
    assert line["message"] == "said this"
    assert line["room"] == "r1"
    assert line["error"] == "ValueError"
    assert PLANTED not in json.dumps(line, ensure_ascii=False)


def test_exceptions_keep_type_and_place_and_lose_their_text() -> None:
    try:
        try:
            raise KeyError(PLANTED)
        except KeyError as error:
            raise RuntimeError(PLANTED) from error
    except RuntimeError:
        line = json.loads(formatted(exc_info=sys.exc_info()))
    assert line["exception"].count("test_logs.py") == 2
    assert "RuntimeError" in line["exception"]
    assert "KeyError" in line["exception"]
    assert f'"{PLANTED}' not in line["exception"]
