"""A whole run of pyinfra with planted secrets, against this machine: nothing it prints or leaves shows one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.programs.workplace import furnish, holders
from tests.programs.workplace import run as run_there

PLANTED = {
    "HF_TOKEN": "hf_" + "Planted" * 5,
    "LIVEKIT_API_KEY": "APIplantedplanted",
    "LIVEKIT_API_SECRET": "plantedLivekit" * 3,
    "AGENT_AWS_ACCESS_KEY_ID": "AKIA" + "PLANTED9" * 2,
    "AGENT_AWS_SECRET_ACCESS_KEY": "plantedAWSkey/" * 2 + "plantedAWS+2",
}

DEPLOY = """
import os
from pyinfra.context import host
from voicestack.secrets import run as secrets
from voicestack.weights import operations as models
from voicestack.settings.load import load
from voicestack.stack import operations as stack

settings = load(host)
stack.HOME = os.environ["PLACE"]
token = secrets.hub_token()
pair = secrets.livekit_keys()
stack.keys(name="The key pairs", keep_agents=True)
if os.environ["CRASH"] == "prepare":
    raise RuntimeError(f"a crash with {pair} and {secrets.this_run()}")


from pyinfra.operations import python


def crash():
    request = models._request(settings.weights, {}, models.Plan(fetch=(), restore={}, aside=(), expired=()), token)
    text = pair.get_secret_value()
    raise RuntimeError("a crash")


if os.environ["CRASH"] == "execute":
    python.call(name="Crash", function=crash)
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    furnish(tmp_path, DEPLOY)
    (tmp_path / "home").mkdir()
    secrets = tmp_path / "planted.env"
    secrets.write_text("".join(f"{name}={value}\n" for name, value in PLANTED.items()))
    secrets.chmod(0o600)
    return tmp_path


def run(workplace: Path, crash: str, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "VOICE_SECRETS_FILE": str(workplace / "planted.env"),
        "PLACE": str(workplace / "home"),
        "CRASH": crash,
    }
    return run_there(workplace, *options, environment=environment)


@pytest.mark.parametrize(
    ("crash", "options", "status"),
    [
        ("", ("-vvv", "--diff"), 0),
        ("", ("--debug-all", "-vvv", "--diff"), 0),
        ("prepare", ("--debug", "-vvv"), 1),
        ("execute", ("--debug", "-vvv"), 1),
    ],
)
def test_no_planted_secret_is_printed_or_left_in_a_readable_file(
    workplace: Path, crash: str, options: tuple[str, ...], status: int
) -> None:
    finished = run(workplace, crash, *options)
    printed = finished.stdout + finished.stderr
    assert finished.returncode == status, printed[-4000:]
    assert f"secrets: {', '.join(PLANTED)} from {workplace / 'planted.env'}" in printed
    if crash:
        assert "a crash" in printed
    for name, value in PLANTED.items():
        assert value not in printed, name
        assert workplace / "planted.env" in holders(workplace, value)
    if crash != "prepare":
        assert PLANTED["LIVEKIT_API_SECRET"] in (workplace / "home" / "livekit" / "keys.yaml").read_text()


def test_mistakes_in_settings_and_secrets_are_told_together_before_anything_connects(workplace: Path) -> None:
    with (workplace / "planted.env").open("a") as file:
        file.write(f"DEEPGRAM_API_KEY=HF_TOKEN={PLANTED['HF_TOKEN']}\n")
    finished = run(workplace, "", "--data", "voxtral_voice=de_robot")
    assert finished.returncode == 1
    assert "voxtral_voice: not one of Voxtral's voices" in finished.stderr
    assert "planted.env line 6: DEEPGRAM_API_KEY= is followed by HF_TOKEN= on the same line" in finished.stderr
    assert "Connecting to hosts" not in finished.stderr
    assert PLANTED["HF_TOKEN"] not in finished.stderr


def test_keys_for_a_host_that_shall_have_none_are_refused(workplace: Path) -> None:
    finished = run(workplace, "", "--data", "agent_aws_keys=none")
    assert finished.returncode == 1
    assert "agent_aws_keys = 'none' for voice.example.org" in finished.stderr
    assert "Connecting to hosts" not in finished.stderr
