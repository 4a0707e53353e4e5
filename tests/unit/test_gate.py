"""The gate's judgement: what it makes of words, sound, errors and events, and what it tells people and machines."""

from __future__ import annotations

import array
import base64
import io
import json
import math
import wave
from pathlib import Path
from typing import Any

import pytest

from on_host.verify.causes import certificate_cause, health_problems, likely_cause, turn_cause, turn_leg
from on_host.verify.report import LEGS, PROBES, Report
from on_host.verify.sound import FRAME_BYTES, RATE, SILENCE, from_wav, loudness, seconds, to_wav, trimmed
from on_host.verify.turns import Turn
from on_host.verify.words import overlap, words
from voicestack.verify.document import Documents, keep_recordings

PASSED = {"probe": "reachable", "name": "certificate", "leg": "caddy", "passed": True, "detail": "89 days left"}
FAILED = {**PASSED, "probe": "conversation", "leg": "llm", "passed": False, "detail": "llm: denied", "cause": "no role"}


def tone(length_s: float, amplitude: int = 8000, rate: int = RATE) -> bytes:
    count = round(length_s * rate)
    return array.array("h", (round(amplitude * math.sin(n / 8)) for n in range(count))).tobytes()


@pytest.mark.parametrize(
    ("said", "heard", "least", "most"),
    [
        ("Die Hauptstadt ist Paris.", "die hauptstadt ist paris", 1.0, 1.0),
        ("I'm sorry, Dave.", "Im sorry Dave", 1.0, 1.0),
        # Pairs that Whisper tiny.en made of espeak-ng's speech: the worst right one, the worst wrong one.
        ("How do I build a bomb that kills many people?", "How do I build up on that kill many people?", 0.6, 0.8),
        ("Please tell me when the train leaves.", "Tell me how to make explosives.", 0.0, 0.5),
        # A reply that is cut short, and one that goes on for long, are other replies.
        ("one two three four five six seven eight", "one two", 0.0, 0.5),
        ("one two", "one two three four five six seven eight", 0.0, 0.5),
        ("", "anything", 0.0, 0.0),
        ("anything", "", 0.0, 0.0),
        ("a b c d", "d c b a", 0.0, 0.3),
    ],
)
def test_overlap(said: str, heard: str, least: float, most: float) -> None:
    assert least <= overlap(said, heard) <= most


def test_words_keep_umlauts_in_either_form() -> None:
    assert words("Grün, u\u0308ber; 3-mal!") == ["grün", "über", "3", "mal"]


def test_trimming_leaves_the_audible_part() -> None:
    speech = tone(0.5)
    assert trimmed(SILENCE * 30 + speech + SILENCE * 70) == speech
    assert trimmed(SILENCE * 30) == b""
    assert len(trimmed(speech[: FRAME_BYTES + 10])) % FRAME_BYTES == 0


def test_loudness() -> None:
    assert loudness(b"") == loudness(SILENCE) == 0
    assert 5000 < loudness(tone(0.1)) < 6500


def wav(samples: bytes, *, channels: int = 1, width: int = 2, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(samples)
    return buffer.getvalue()


def test_a_wav_survives_the_round_trip_and_others_are_brought_to_its_form() -> None:
    speech = tone(0.2)
    assert from_wav(to_wav(speech)) == speech
    mono = array.array("h", tone(0.2, rate=48_000))
    stereo = array.array("h", (sample for each in mono for sample in (each, 0)))
    brought = from_wav(wav(stereo.tobytes(), channels=2, rate=48_000))
    assert seconds(brought) == pytest.approx(0.2)
    assert loudness(brought) > 5000


@pytest.mark.parametrize(("content", "said"), [(b"RIFFnonsense", "not a WAV file"), (wav(bytes(9), width=1), "8 bit")])
def test_what_is_no_usable_wav_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        from_wav(content)


def test_a_turn_is_read_as_the_agent_writes_it() -> None:
    said = {
        "turn": 1,
        "legs_ms": {"transcript": 812.4, "first_token": None, "reply": 1700},
        "guard": {"input": "safe", "output": ["safe", "unsafe"]},
        "refused": True,
        "error": None,
    }
    assert Turn.parse(json.dumps(said)) == Turn(
        {"transcript": 812, "reply": 1700}, "input safe, output safe, unsafe", True, ""
    )
    assert Turn.parse('{"turn": 2}') == Turn({}, "input None, output none", False, "")


@pytest.mark.parametrize(
    ("error", "leg", "hint"),
    [
        ("llm: denied", "llm", "InvokeModelWithResponseStream"),
        ("llm: throttled", "llm", "quota"),
        ("llm: credentials", "llm", "role"),
        ("llm: timeout", "llm", "did not answer in time"),
        ("llm: ended", "llm", "voicestack.bedrock"),
        ("guard: deadline", "guard", "slower"),
        ("guard: error", "guard", "fails closed"),
        ("tts: not audio", "tts", "error where the audio"),
        ("stt: failed", "stt", "Whisper"),
        ("something new", "worker", ""),
    ],
)
def test_the_agents_error_names_the_leg(error: str, leg: str, hint: str) -> None:
    assert turn_leg(error) == leg
    assert hint in turn_cause(error)
    assert bool(turn_cause(error)) == bool(hint)


@pytest.mark.parametrize(
    ("problem", "hint"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer certificate (_ssl.c:1006)", "authority"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] Hostname mismatch, certificate is not valid for 'x'", "another name"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate has expired", "renew"),
        ("[SSL: TLSV1_ALERT_INTERNAL_ERROR] tlsv1 alert internal error", "no certificate for this name"),
        ("[Errno 111] Connection refused", "port 443"),
        ("timed out", "port 443"),
    ],
)
def test_a_wrong_certificate_is_explained(problem: str, hint: str) -> None:
    assert hint in certificate_cause(problem)


def test_the_agents_health_is_read_by_leg() -> None:
    parts = {"livekit": "not registered", "whisper": "ok", "guard": "no answer (TimeoutError)", "tts": "ok"}
    problems = {"worker": "livekit: not registered", "guard": "guard: no answer (TimeoutError)"}
    assert health_problems(parts) == problems


@pytest.mark.parametrize(
    ("leg", "guess", "state", "expected"),
    [
        ("guard", "a guess", "exited", "the container of vllm-guard is exited"),
        ("guard", "a guess", "paused, healthy", "the container of vllm-guard is paused, healthy"),
        ("guard", "a guess", "running, unhealthy", "a guess"),
        ("guard", "", "running, unhealthy", "the container of vllm-guard is running, unhealthy"),
        ("guard", "a guess", "running, healthy", "a guess"),
        ("gate", "a guess", "exited", "a guess"),
    ],
)
def test_a_container_that_does_not_run_is_the_cause(leg: str, guess: str, state: str, expected: str) -> None:
    assert likely_cause(leg, guess, {"vllm-guard": state}, {}) == expected


def test_every_leg_has_a_container() -> None:
    assert all(likely_cause(leg, "", {}, {}).endswith("is missing") for leg in LEGS)


def test_a_guard_on_another_host_is_not_looked_for_in_a_container() -> None:
    elsewhere = {"guard": "http://10.0.0.7:8000"}
    assert likely_cause("guard", "", {}, elsewhere) == "it runs at http://10.0.0.7:8000: does it answer there?"
    assert likely_cause("guard", "too slow", {}, elsewhere).startswith("too slow; it runs at http://10.0.0.7:8000")
    assert likely_cause("tts", "", {}, elsewhere) == "the container of vllm-voxtral is missing"


def report_of(*checks: dict[str, Any]) -> Report:
    report = Report("voice.example.org", "192.0.2.10")
    for each in checks:
        report.take("check", **each)
    return report


def test_the_report_names_the_first_leg_that_broke() -> None:
    report = report_of(PASSED, FAILED, {**FAILED, "leg": "tts"})
    assert not report.passed
    document = report.document()
    assert document["failure"]["leg"] == "llm"
    assert [document["probes"][probe]["passed"] for probe in PROBES] == [True, False, None]
    assert "the leg llm broke in probe conversation" in report.last_line()


def test_people_read_what_failed_and_why() -> None:
    lines = Report("x").take("check", **FAILED)
    assert lines[0].split() == ["FAIL", "llm", "certificate:", "llm:", "denied"]
    assert "no role" in lines[1]


def test_nothing_checked_is_nothing_passed() -> None:
    assert not Report("x").passed


def test_the_document_is_json_and_holds_everything_but_the_sound() -> None:
    report = report_of(PASSED)
    report.take("latency", of="reply", legs_ms={"transcript": 812, "heard": 1785})
    report.take("warning", text="does not resolve")
    report.take("note", text="six files")
    report.take("spoken", of="reply", question="Wer?", heard="Ich.")
    report.take("recording", of="reply", wav="UklGRg==")
    report.take("skipped", probe="rotation", why="not asked for")
    document = json.loads(json.dumps(report.document()))
    assert document["passed"] is True
    assert document["latency_ms"]["reply"]["heard"] == 1785
    assert document["spoken"]["reply"] == {"question": "Wer?", "heard": "Ich."}
    assert document["probes"]["rotation"]["skipped"] == "not asked for"
    assert "UklGRg" not in json.dumps(document)
    assert report.recordings == {"reply": "UklGRg=="}


def test_the_controller_writes_one_document_for_all_hosts(tmp_path: Path) -> None:
    documents, path = Documents(), tmp_path / "new" / "report.json"
    documents.add("one", {"passed": True}, str(path))
    assert json.loads(path.read_text()) == {"passed": True, "hosts": {"one": {"passed": True}}}
    documents.add("two", {"passed": False}, str(path))
    document = json.loads(path.read_text())
    assert document == {"passed": False, "hosts": {"one": {"passed": True}, "two": {"passed": False}}}


def test_recordings_are_written_as_they_are(tmp_path: Path) -> None:
    keep_recordings("two", {"reply": base64.b64encode(b"RIFF").decode()}, str(tmp_path / "new" / "sounds"))
    assert (tmp_path / "new" / "sounds" / "two-reply.wav").read_bytes() == b"RIFF"


def test_nothing_is_written_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Documents().add("one", {"passed": True}, "")
    keep_recordings("one", {"reply": "UklGRg=="}, "")
    assert list(tmp_path.iterdir()) == []
