"""The page to talk from, in a real browser: off by default, opened by a link, and a conversation that is heard."""

from __future__ import annotations

import base64
import json
import re
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from on_host.verify.words import overlap
from tests.e2e.browser import HEARING_RATE, Browser, chromium, write_question
from tests.e2e.conftest import ARTEFACTS, LabHost, await_that, deployed_host, refused_by_bedrock
from tests.lab.bedrock.replies import REPLIES
from tests.lab.places import HOST_ADDRESSES

pytestmark = pytest.mark.usefixtures("lab_services")

HOST = "ubuntu"

DOMAIN = "voice.lab.example.org"
AUTHORITY = "/var/lib/voice/caddy/data/caddy/pki/authorities/local/root.crt"
ON = ("--data", "talk_enabled=true")
LINKS = "deploys/talk.py"
QUESTION = "What time do you open in the morning?"
GET_ONE = "Get a new one: pyinfra INVENTORY deploys/talk.py"
BEFORE_S, AFTER_S = 9, 16
"""Silence around the question, which comes again and again: for the greeting before it, for the answer after it."""

LISTEN = """
import base64, io, os, wave
import numpy
from faster_whisper import WhisperModel
sound = numpy.frombuffer(base64.b64decode("{sound}"), dtype=numpy.int16).astype(numpy.float32) / 32768
whisper = WhisperModel(os.environ["FASTER_WHISPER_MODEL"], device="cpu", compute_type="int8", local_files_only=True)
segments, _ = whisper.transcribe(sound, language="en", condition_on_previous_text=False)
print(" ".join(segment.text.strip() for segment in segments))
"""

EXPIRED = """
from datetime import timedelta
from livekit import api
grants = api.VideoGrants(room_join=True, room="talk-expired")
print(api.AccessToken().with_identity("late").with_ttl(timedelta(hours=-1)).with_grants(grants).to_jwt())
"""

RETURN = """
import asyncio, os
from pathlib import Path
from livekit import api, rtc
URL = os.environ["LIVEKIT_URL"]
async def agents(room, count):
    while len(room.remote_participants) != count:
        await asyncio.sleep(0.1)
async def hold():
    caller, holder = rtc.Room(), rtc.Room()
    await caller.connect(URL, "{token}")
    await agents(caller, 1)
    grants = api.VideoGrants(room_join=True, room="{room}")
    await holder.connect(URL, api.AccessToken().with_identity("holder").with_grants(grants).to_jwt())
    await caller.disconnect()
    await agents(holder, 0)
    Path("/tmp/held").touch()
    while Path("/tmp/held").exists():
        await asyncio.sleep(0.1)
    await holder.disconnect()
asyncio.run(hold())
os._exit(0)
"""


@pytest.fixture(scope="module")
def host(lab_services: None) -> LabHost:
    return deployed_host(HOST)


def get(host: LabHost, path: str) -> str:
    """The answer's head and body, as a browser on the host would get it; the path is in no command line."""
    name = f"--cacert {AUTHORITY} --resolve {DOMAIN}:443:127.0.0.1"
    return host.shell(f"curl -si {name} -K -", stdin=f'url = "https://{DOMAIN}{path}"')


@contextmanager
def stopped(host: LabHost, service: str) -> Iterator[None]:
    """A service that is not there, and is again, with the agent healthy as before."""
    host.shell(f"docker stop voice-{service}-1")
    try:
        yield
    finally:
        host.shell(f"docker start voice-{service}-1")
        agent = "docker inspect -f '{{.State.Health.Status}}' voice-voice-agent-1"
        await_that(lambda: host.shell(agent) == "healthy", "the agent is healthy again", 180)


def in_the_agent(host: LabHost, program: str) -> str:
    """The output of a Python program run where the agent runs."""
    return host.shell("docker exec -i voice-voice-agent-1 /opt/venv/bin/python -", stdin=program)


def room_of(link: str) -> str:
    """The room that the link's token opens."""
    claims = link.partition("#")[2].split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["video"]["room"])


@contextmanager
def room_that_the_agent_has_left(host: LabHost, link: str) -> Iterator[None]:
    """The link's caller was in the room and left, then the agent; somebody keeps the room until the block's end."""
    agent = "docker exec -i voice-voice-agent-1"
    program = RETURN.format(token=link.partition("#")[2], room=room_of(link))
    host.shell(f"{agent} sh -c 'cat > /tmp/return.py'", stdin=program)
    host.shell("docker exec -d voice-voice-agent-1 /opt/venv/bin/python /tmp/return.py")
    await_that(lambda: "held" in host.shell(f"{agent} ls /tmp").split(), "the agent has left, the room is there")
    try:
        yield
    finally:
        host.shell(f"{agent} rm -f /tmp/held /tmp/return.py")


def test_with_the_page_off_there_is_neither_page_nor_link(host: LabHost) -> None:
    assert get(host, "/talk/").startswith("HTTP/2 404")
    run = host.deploy(program=LINKS)
    assert run.status == 1
    assert f"{HOST}: talk_enabled is off; set it to True in group_data" in run.printed
    run = host.deploy(*ON, program=LINKS)
    assert run.status == 1
    assert f"{HOST}: Caddy does not serve the page yet; run deploys/voice.py with talk_enabled" in run.printed


def test_turning_it_on_touches_caddy_alone_and_a_second_run_nothing(host: LabHost) -> None:
    before = host.containers()
    run = host.deploy(*ON)
    assert run.status == 0, run.printed[-4000:]
    on = host.containers()
    assert {name for name in before if before[name] != on.get(name)} == {"voice-caddy-1"}
    run = host.deploy(*ON)
    assert (run.status, run.changed, host.containers()) == (0, [], on), run.printed[-4000:]


def test_the_page_is_served_with_its_policy(host: LabHost) -> None:
    assert re.match(r"HTTP/2 302 \r?\nlocation: /talk/\r?\n", get(host, "/talk"))
    page = get(host, "/talk/")
    assert "default-src 'none'; script-src 'self'" in page
    for header in ("referrer-policy: no-referrer", "x-content-type-options: nosniff", "cache-control: no-store"):
        assert header in page
    assert "Apache License" in get(host, "/talk/livekit-client.LICENSE.txt")
    assert get(host, "/talk/fetch.py").startswith("HTTP/2 404")
    assert get(host, "/").endswith("OK")  # LiveKit's own


@pytest.fixture(scope="module")
def link(host: LabHost) -> str:
    """A link as a person gets it; the run changed nothing."""
    run = host.deploy(*ON, "--data", "talk_token_minutes=60", program=LINKS)
    assert run.status == 0, run.printed[-4000:]
    assert run.changed == []
    found = re.search(rf"https://{DOMAIN}/talk/#\S+", run.printed)
    assert found, run.printed
    assert "a second browser with the same link takes the call over" in run.printed
    return found[0]


def minted(host: LabHost) -> str:
    """A link without a run of pyinfra."""
    said = host.shell("docker exec voice-voice-agent-1 /opt/venv/bin/python -m voice_agent invite --minutes 10")
    return f"https://{DOMAIN}/talk/#{json.loads(said)['token']}"


@pytest.fixture
def another(host: LabHost) -> str:
    """A link of a test's own: a call before it with the same one might not be over yet."""
    return minted(host)


@pytest.fixture(scope="module")
def authority(host: LabHost) -> str:
    return host.shell(f"cat {AUTHORITY}")


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("microphone") / "question.wav"
    write_question(QUESTION, file, before_s=BEFORE_S, after_s=AFTER_S)
    return file


@pytest.fixture
def browser(authority: str, question: Path, tmp_path: Path) -> Iterator[Browser]:
    with chromium(DOMAIN, HOST_ADDRESSES[HOST], authority, question, tmp_path / "home") as browser:
        yield browser


def join(browser: Browser, link: str) -> None:
    """Open the link, join, and wait until the agent is there and heard."""
    browser.open(link)
    browser.click("join")
    await_that(lambda: browser.leg("agent")[1] in ("listening", "speaking"), "the agent joined")


def await_turn(browser: Browser, number: int) -> None:
    title = f"Last turn: number {number}".upper()
    await_that(lambda: browser.text("#turn-title") == title, f"turn {number} was reported", 90)


def test_without_a_token_the_page_says_how_to_get_one(host: LabHost, browser: Browser) -> None:
    browser.open(f"https://{DOMAIN}/talk")
    assert browser.text("#status").endswith(f"this address is none. {GET_ONE}")
    assert browser.driver.find_element("id", "join").get_attribute("disabled")


def test_an_altered_and_an_expired_token_are_refused_in_words(host: LabHost, browser: Browser) -> None:
    altered = minted(host)[:-4] + "AAAA"
    expired = f"https://{DOMAIN}/talk/#{in_the_agent(host, EXPIRED)}"
    for refused in (altered, expired):
        browser.open(refused)
        browser.click("join")
        await_that(lambda: browser.leg("connection")[0] == "failed", "the token is refused")
        assert browser.text("#status") == f"This link has expired or was refused. {GET_ONE}"
        assert browser.driver.find_element("id", "join").is_displayed()


def test_a_refused_microphone_is_said(authority: str, link: str, tmp_path: Path) -> None:
    with chromium(DOMAIN, HOST_ADDRESSES[HOST], authority, None, tmp_path / "home") as browser:
        browser.open(link)
        browser.click("join")
        await_that(lambda: browser.leg("microphone")[0] == "failed", "the microphone is refused")
        assert browser.text("#status").startswith("The browser does not let this page use the microphone.")


def test_a_conversation_is_heard_and_seen(host: LabHost, link: str, browser: Browser) -> None:
    """What was heard is kept as .artefacts/talk-reply.wav, what was seen as .artefacts/talk.png."""
    join(browser, link)
    assert browser.driver.current_url == f"https://{DOMAIN}/talk/"
    await_that(browser.listen, "the page plays the agent's voice")
    await_turn(browser, 1)
    ARTEFACTS.mkdir(exist_ok=True)
    browser.driver.save_screenshot(str(ARTEFACTS / "talk.png"))
    sound = browser.heard()
    with wave.open(str(ARTEFACTS / "talk-reply.wav"), "wb") as file:
        file.setparams((1, 2, HEARING_RATE, 0, "NONE", ""))
        file.writeframes(sound)
    answer = REPLIES["hours"]["en"]
    heard = in_the_agent(host, LISTEN.format(sound=base64.b64encode(sound).decode()))
    # The greeting may be heard in part, according to when listening began.
    assert overlap(answer, heard.partition("question.")[2] or heard) >= 0.8, heard

    assert overlap(QUESTION, browser.said("you")) >= 0.8
    assert browser.said("assistant").endswith(answer)
    for leg in ("stt", "llm", "tts", "guard"):
        state, text = browser.leg(leg)
        assert state == "good"
        assert re.search(r"\d ms$|\d s$", text), text
    for span in ("transcript", "turn", "first_token", "guard", "first_audio", "reply"):
        assert re.fullmatch(r"\d+ ms|\d+\.\d s", browser.text(f'[data-span="{span}"] td'))
    await_that(lambda: browser.leg("connection")[1].endswith("ms round trip"), "the round trip is measured")

    # The page spoke with its own origin alone, obeyed its policy and left nothing in the browser.
    assert {re.match(r"\w+://[^/]+", address)[0] for address in browser.requests()} == {  # type: ignore[index]
        f"https://{DOMAIN}",
        f"wss://{DOMAIN}",
    }
    assert {re.split("[:?]", server)[1] for server in browser.ice_servers()} == {HOST_ADDRESSES[HOST]}
    assert browser.complaints() == []
    assert browser.stored() == []


def test_muting_mutes_and_who_leaves_can_come_back(another: str, browser: Browser) -> None:
    join(browser, another)
    browser.click("mute")
    await_that(lambda: browser.leg("microphone")[1] == "muted", "muted")
    sent, energy = browser.sent()
    # The question comes once in each round of the file; with a bit more than one round it must have come.
    round_s = BEFORE_S + AFTER_S + 5
    await_that(lambda: browser.sent()[0] > sent + round_s, "one round of the question", round_s + 30)
    assert browser.sent()[1] == energy
    assert browser.said("you") == ""
    browser.click("mute")
    await_turn(browser, 1)
    assert browser.sent()[1] > energy
    browser.click("leave")
    await_that(lambda: browser.text("#status").startswith("You left."), "the call is over")
    button = browser.driver.find_element("id", "join")
    await_that(button.is_enabled, "one can join again")
    browser.click("join")
    await_that(lambda: browser.leg("agent")[1] in ("listening", "speaking"), "another agent joined")


def test_who_comes_back_before_the_old_room_has_ended_gets_an_agent_all_the_same(
    host: LabHost, another: str, browser: Browser
) -> None:
    """LiveKit has sent that room its agent and sends no other."""
    with room_that_the_agent_has_left(host, another):
        browser.open(another)
        browser.click("join")
        await_that(lambda: browser.text("#status").endswith("Waiting for the agent…"), "the caller waits")
    await_that(lambda: browser.text("#status").endswith("Trying once more…"), "the page notices")
    await_that(lambda: browser.leg("agent")[1] in ("listening", "speaking"), "the agent joined")
    assert browser.leg("microphone") == ("good", "on")
    await_turn(browser, 1)


def test_a_leg_that_fails_is_red_with_its_error(another: str, browser: Browser) -> None:
    with refused_by_bedrock(HOST):
        join(browser, another)
        await_turn(browser, 1)
    browser.driver.save_screenshot(str(ARTEFACTS / "talk-failed.png"))
    assert browser.leg("llm") == ("failed", "no access")
    assert browser.leg("stt")[0] == "good"


def test_a_second_browser_takes_the_call_over(
    authority: str, another: str, browser: Browser, question: Path, tmp_path: Path
) -> None:
    join(browser, another)
    with chromium(DOMAIN, HOST_ADDRESSES[HOST], authority, question, tmp_path / "second") as second:
        join(second, another)
        await_that(lambda: browser.leg("connection")[0] == "warning", "the first browser is out")
        assert browser.text("#status") == "This link was opened a second time, and the call went there."
        await_that(lambda: overlap(QUESTION, second.said("you")) >= 0.8, "the second browser is heard", 90)


def test_a_connection_that_is_lost_and_comes_back_is_said(host: LabHost, another: str, browser: Browser) -> None:
    join(browser, another)
    with stopped(host, "caddy"):
        await_that(lambda: browser.leg("connection")[1] == "lost, trying again", "the loss is noticed")
        assert browser.text("#status") == "The connection was lost. Trying again…"
    await_that(lambda: browser.leg("connection")[0] == "good", "the connection came back", 90)


def test_an_agent_that_does_not_join_is_said(host: LabHost, another: str, browser: Browser) -> None:
    with stopped(host, "voice-agent"):
        browser.open(another)
        browser.click("join")
        await_that(lambda: browser.leg("agent") == ("failed", "has not joined"), "the missing agent is noticed")
        assert "no agent has joined" in browser.text("#status")
        run = host.deploy(*ON, program=LINKS)
        assert run.status == 1
        assert f"{HOST}: the agent does not run; run deploys/voice.py" in run.printed


def test_the_token_is_in_no_log(host: LabHost, link: str) -> None:
    """LiveKit's client sends it in the query of its socket; nobody on the way may write that down.

    Not even Caddy when LiveKit is gone: it logs requests that fail. (LiveKit itself logs tokens, but those it refuses.)
    """
    with stopped(host, "livekit"):
        assert get(host, f"/rtc/v1?access_token={link.partition('#')[2]}").startswith("HTTP/2 502")
    logs = host.shell("docker ps -q | xargs -n 1 docker logs 2>&1; journalctl --no-pager -o cat")
    token = link.partition("#")[2]
    claims = token.split(".")[1]
    assert room_of(link) in logs  # they are the logs of these calls
    assert "access_token=REDACTED" in logs
    for part in (token, claims, token.split(".")[2]):
        assert part not in logs


def test_turning_it_off_removes_it(host: LabHost) -> None:
    before = host.containers()
    run = host.deploy()
    assert run.status == 0, run.printed[-4000:]
    after = host.containers()
    assert {name for name in before if before[name] != after.get(name)} == {"voice-caddy-1"}
    assert get(host, "/talk/").startswith("HTTP/2 404")
    assert "talk" not in host.shell("cat /opt/voice/caddy/Caddyfile")
