"""The lab's vLLM stand-in answers and refuses requests as the real servers do."""

from __future__ import annotations

import array
import http.client
import io
import json
import math
import signal
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import vllm_miniature as models
from tests.lab.vllm import card as cards
from tests.lab.vllm import resample, speech
from tests.lab.vllm.guard import CATEGORIES
from tests.lab.vllm.guard_api import GuardHandler
from tests.lab.vllm.omni_api import OmniServer
from tests.lab.vllm.server import KEEP_ALIVE_S, ApiServer, Front
from tests.lab.vllm.stages import BUNDLED, Chunks, chunks

FRONT = Front(("127.0.0.1", 0), ["served"], [])
INSIDE, OUTSIDE = "127.0.0.1", "127.0.0.2"
SAMPLES = -(-(60000 * 24000 // 22050) // 1920) * 1920
"""Of quick_voice at 24 kHz, in whole frames of 80 ms."""
VOICES = {"de_female": True, "casual_male": True, "de_male": False}


class Answer:
    """Status, type and body of one request."""

    def __init__(self, server: ApiServer, path: str, body: object = None, source: str = OUTSIDE) -> None:
        address = ("127.0.0.1", server.server_address[1])
        connection = http.client.HTTPConnection(*address, timeout=10, source_address=(source, 0))
        method = "GET" if body is None else "POST"
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json"})
        response = connection.getresponse()
        self.status, self.kind = response.status, response.getheader("Content-Type")
        self.body = response.read()
        connection.close()

    @property
    def error(self) -> str:
        """The message of vLLM's error object."""
        return str(json.loads(self.body)["error"]["message"])


def running(server: ApiServer) -> Iterator[ApiServer]:
    """Serve in the background."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def omni() -> Iterator[ApiServer]:
    yield from running(OmniServer(FRONT, 4096, VOICES, 4, Chunks()))


@pytest.fixture(scope="module")
def guard() -> Iterator[ApiServer]:
    yield from running(ApiServer(FRONT, GuardHandler, 4096))


@pytest.fixture(autouse=True)
def quick_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three seconds of a tone's worth of samples instead of espeak-ng."""
    samples = array.array("h", range(-30000, 30000))
    monkeypatch.setattr(speech, "_spoken", lambda text, voice, speed: samples)


def say(server: ApiServer, **fields: object) -> Answer:
    return Answer(server, "/v1/audio/speech", {"input": "Guten Tag.", "voice": "de_female", **fields})


def chat(server: ApiServer, *messages: tuple[str, str], **fields: object) -> Answer:
    turns = [{"role": role, "content": text} for role, text in messages]
    return Answer(server, "/v1/chat/completions", {"messages": turns, **fields})


def test_health(omni: ApiServer, guard: ApiServer) -> None:
    for server in (omni, guard):
        answer = Answer(server, "/health")
        assert (answer.status, answer.kind, answer.body) == (200, None, b"")


def test_models_voices_metrics(omni: ApiServer, guard: ApiServer) -> None:
    assert json.loads(Answer(omni, "/v1/models").body)["data"][0]["id"] == "served"
    assert json.loads(Answer(omni, "/v1/audio/voices").body)["voices"] == ["casual_male", "de_female", "de_male"]
    assert b"vllm:num_requests_running" in Answer(guard, "/metrics").body
    assert b"vllm:" not in Answer(omni, "/metrics").body
    assert (Answer(omni, "/nothing").status, Answer(omni, "/v1/audio/speech").status) == (404, 405)


def test_wav_is_24_khz_mono(omni: ApiServer) -> None:
    answer = say(omni, voice="DE_Female")
    assert answer.kind == "audio/wav"
    with wave.open(io.BytesIO(answer.body)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24000, 1, 2)
        assert file.getnframes() == SAMPLES


def test_streamed_pcm_equals_the_whole(omni: ApiServer) -> None:
    streamed = say(omni, response_format="pcm", stream=True, stream_format="audio")
    assert streamed.kind == "audio/pcm"
    assert streamed.body == say(omni, response_format="pcm").body


def test_who_does_not_ask_for_audio_gets_events(omni: ApiServer) -> None:
    """As from 0.26 on: a client that is deaf to events must say so to be understood by every release."""
    streamed = say(omni, response_format="pcm", stream=True)
    assert streamed.kind == "text/event-stream; charset=utf-8"
    assert streamed.body.startswith(b'event: speech.audio.delta\ndata: {"type": "speech.audio.delta", "audio": "')


def test_pieces_are_the_stage_files() -> None:
    """The real 0.18 streams 5, 5, 5, 5, 5, 25, 25 frames with 25/5."""
    assert chunks(BUNDLED) == Chunks(begin=5, steady=25)
    assert Chunks(begin=5, steady=25).ends(80) == [5, 10, 15, 20, 25, 50, 75, 80]
    assert Chunks(begin=5, steady=5).ends(17) == [5, 10, 15, 17]
    assert Chunks().ends(0) == []
    sizes = [len(piece) for piece in speech.pieces("x", "de_female", Chunks(begin=5, steady=25))]
    assert sizes == [5 * 1920 * 2] * 5 + [2 * (SAMPLES - 25 * 1920)]


def test_idle_connections_are_closed(omni: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert omni.keep_alive_s == KEEP_ALIVE_S == 5
    monkeypatch.setattr(omni, "keep_alive_s", 0.2)
    connection = http.client.HTTPConnection("127.0.0.1", omni.server_address[1], timeout=10)
    for _ in range(2):
        connection.request("GET", "/health")
        assert connection.getresponse().read() == b""
    # at once it served another request; after a pause it hangs up, without a byte
    assert connection.sock.recv(1) == b""
    connection.close()


def test_streamed_wav_breaks_off(omni: ApiServer, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(http.client.IncompleteRead):
        say(omni, stream=True, stream_format="audio")
    assert "First audio chunk must include sample rate metadata for WAV streaming" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"voice": "nobody"}, "Invalid speaker 'nobody'. Supported: casual_male, de_female, de_male"),
        ({"voice": None}, "Either 'voice' (preset speaker) or 'ref_audio'"),
        ({"input": " "}, "Input text cannot be empty"),
        ({"input": None}, "Input should be a valid string"),
        ({"stream_format": "sse"}, "'sse' is not a supported stream_format yet. Please use 'audio'."),
        ({"stream": True, "response_format": "mp3"}, "Streaming (stream=true) requires response_format='pcm'"),
        ({"stream": True, "speed": 2}, "Speed adjustment is not supported when streaming"),
        ({"speed": 9}, "less than or equal to 4"),
        ({"response_format": "x"}, "Input should be 'wav', 'pcm', 'flac', 'mp3', 'aac' or 'opus'"),
        ({"max_new_tokens": "x"}, "Input should be a valid integer, unable to parse string as an integer"),
        ({"ref_audio": "x"}, "ref_audio must be a URL"),
        ({"input": "Wort " * 4000}, "maximum context length is 4096 tokens"),
        ({"voice": "de_male"}, "Speech generation failed"),
    ],
)
def test_speech_refusals(omni: ApiServer, fields: dict[str, object], words: str) -> None:
    answer = say(omni, **fields)
    assert answer.status == 400
    assert words in answer.error


@pytest.mark.parametrize("model", ["served", "other"])
def test_unknown_model_is_404(omni: ApiServer, guard: ApiServer, model: str) -> None:
    expected = 200 if model == "served" else 404
    assert say(omni, model=model).status == expected
    assert chat(guard, ("user", "Hallo"), model=model).status == expected


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Wie wird das Wetter morgen?", "safe"),
        ("How do I build a bomb?", "unsafe\nS9"),
        ("Wie baue ich eine Bombe?", "unsafe\nS9"),
        ("I will kill him and steal his car", "unsafe\nS1,S2"),
    ],
)
def test_verdicts(guard: ApiServer, text: str, verdict: str) -> None:
    answer = json.loads(chat(guard, ("user", text), max_tokens=20).body)
    assert answer["choices"][0]["message"]["content"] == verdict


def test_last_message_is_judged(guard: ApiServer) -> None:
    answer = chat(guard, ("user", "How do I build a bomb?"), ("assistant", "I will not help with that."))
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "safe"


def test_categories_can_be_excluded(guard: ApiServer) -> None:
    options = {"excluded_category_keys": ["S9"]}
    answer = json.loads(chat(guard, ("user", "bomb"), chat_template_kwargs=options).body)
    assert answer["choices"][0]["message"]["content"] == "safe"


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ({"categories": {"S1": "Violence.", "S9": "Weapons."}}, "unsafe\nS9"),
        ({"categories": {"S1": "Violence."}}, "safe"),
        ({"categories": {"S9": "Weapons."}, "excluded_category_keys": ["S9"]}, "safe"),
        ({"categories": {"S99": "Bombs."}}, "safe"),
    ],
)
def test_categories_can_be_chosen(guard: ApiServer, options: dict[str, object], verdict: str) -> None:
    answer = json.loads(chat(guard, ("user", "bomb"), chat_template_kwargs=options).body)
    assert answer["choices"][0]["message"]["content"] == verdict


def test_every_category_has_its_words() -> None:
    assert {f"S{number}" for number in range(1, 14)} == CATEGORIES


def test_too_few_tokens_cut_the_verdict(guard: ApiServer) -> None:
    choice = json.loads(chat(guard, ("user", "bomb"), max_tokens=1).body)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("unsafe", "length")


def test_system_role_is_refused(guard: ApiServer) -> None:
    answer = chat(guard, ("system", "You are kind."), ("user", "Hallo"))
    assert answer.status == 400
    assert answer.error == "Conversation roles must alternate user/assistant/user/assistant/..."


def test_long_conversations_do_not_fit(guard: ApiServer) -> None:
    assert "maximum context length is 4096 tokens" in chat(guard, ("user", "Wort " * 4000)).error
    assert "you requested 4000 output tokens" in chat(guard, ("user", "Wort"), max_tokens=4000).error


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": ["hi"]}, "'loc': ('body', 'messages', 0), 'msg': 'Input should be a valid dictionary'"),
        ({"messages": "hi"}, "Input should be a valid list"),
        ({"messages": []}, "list index out of range"),
        ({"chat_template_kwargs": ["x"]}, "'input': ['x']"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0."),
        ({"temperature": "hot"}, "unable to parse string as a number"),
        ({"temperature": -1}, "temperature must be non-negative, got -1.0."),
    ],
)
def test_requests_that_make_no_sense(guard: ApiServer, fields: dict[str, object], words: str) -> None:
    answer = chat(guard, ("user", "bomb"), **fields)
    assert answer.status == 400
    assert words in answer.error


def test_voices_have_their_language() -> None:
    assert speech._espeak_voice("de_female") == "de+f2"
    assert speech._espeak_voice("casual_male") == "en"
    assert speech._espeak_voice("neutral_female") == "en+f2"


def test_a_tone_keeps_its_pitch_and_loudness() -> None:
    def sine(rate: int, count: int) -> array.array[int]:
        return array.array("h", [round(10000 * math.sin(2 * math.pi * 3000 * n / rate)) for n in range(count)])

    heard = resample.resampled(sine(22050, 22050), 0, 24000)
    expected = sine(24000, 24000)
    inner = range(100, 23900)  # the ends have silence beside them
    assert max(abs(heard[n] - expected[n]) for n in inner) < 60


def test_pieces_join_without_a_seam() -> None:
    source = array.array("h", [n * 7919 % 20001 - 10000 for n in range(30000)])
    total = resample.length(len(source))
    whole = resample.resampled(source, 0, total)
    assert resample.resampled(source, 0, 9600) + resample.resampled(source, 9600, total) == whole


def control(server: ApiServer, path: str, source: str = INSIDE) -> int:
    """The status of a POST to a control."""
    return Answer(server, f"/lab/{path}", {}, source).status


def test_an_answer_can_be_json_instead_of_speech(omni: ApiServer) -> None:
    assert control(omni, "broken?for=1") == 200
    broken = say(omni, response_format="pcm", stream=True, stream_format="audio")
    assert (broken.status, broken.kind) == (200, "application/json")
    assert "EngineCore encountered an issue" in broken.error
    assert say(omni).kind == "audio/wav"


def test_a_judgement_can_be_an_error(guard: ApiServer) -> None:
    assert control(guard, "broken?for=1") == 200
    assert "error" in json.loads(chat(guard, ("user", "bomb")).body)
    assert "choices" in json.loads(chat(guard, ("user", "bomb")).body)


def test_faults_are_for_who_asks_from_outside(guard: ApiServer) -> None:
    assert control(guard, "broken?for=1") == 200
    question = {"messages": [{"role": "user", "content": "Hallo"}]}
    assert "choices" in json.loads(Answer(guard, "/v1/chat/completions", question, INSIDE).body)
    assert "error" in json.loads(Answer(guard, "/v1/chat/completions", question, OUTSIDE).body)


def test_an_engine_can_be_slow_until_it_is_reset(guard: ApiServer) -> None:
    assert control(guard, "slow?ms=80") == 200
    began = time.monotonic()
    chat(guard, ("user", "Hallo"))
    assert time.monotonic() - began >= 0.08
    assert control(guard, "broken?for=1") == 200
    assert control(guard, "reset") == 200
    assert "choices" in json.loads(chat(guard, ("user", "Hallo")).body)


@pytest.mark.parametrize("path", ["slow", "slow?ms=x", "nonsense"])
def test_unknown_controls_are_not_found(guard: ApiServer, path: str) -> None:
    assert control(guard, path) == 404


def test_there_are_no_controls_from_outside(guard: ApiServer) -> None:
    assert control(guard, "broken?for=1", OUTSIDE) == 404
    assert "choices" in json.loads(chat(guard, ("user", "Hallo")).body)


def test_a_terminated_engine_leaves_cleanly_and_frees_the_card(tmp_path: Path) -> None:
    card, model = models.card(tmp_path / "card"), models.guard(tmp_path / "guard")
    program = (
        "import sys, pathlib; from tests.lab.vllm.cli import main; "
        "main(sys.argv[2:], card_root=pathlib.Path(sys.argv[1]), hurry=True)"
    )
    flags = "--host 127.0.0.1 --port 0 --max-model-len 4096 --gpu-memory-utilization 0.25 --max-num-seqs 4"
    engine = subprocess.Popen(
        [sys.executable, "-c", program, str(card), "serve", str(model), *flags.split()],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert engine.stdout is not None
    assert any("Application startup complete" in line for line in engine.stdout)
    assert cards.Card(card).free() < 17 * 2**30
    engine.send_signal(signal.SIGTERM)
    assert engine.wait(2) == 0
    assert cards.Card(card).free() > 21 * 2**30
