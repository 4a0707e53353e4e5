"""The key pairs on the host: imported, made once or kept, never readable by others, never lost."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from voicestack.secrets.run import READERS, SECRETS, KeyPair
from voicestack.stack import operations

SCRIPT = Path(operations.__file__).parent / "keys.sh"
STATE = Path(operations.__file__).parent / "state.sh"
SECRET = "s" * 40
AWS_ID = "AKIA" + "K" * 16


def run(home: Path, stdin: str = "") -> str:
    words = ["bash", "-euo", "pipefail", str(SCRIPT), str(home)]
    return subprocess.run(words, input=stdin, capture_output=True, text=True, check=True).stdout


def files(home: Path) -> dict[str, tuple[str, int]]:
    return {
        path.relative_to(home).as_posix(): (path.read_text(), path.stat().st_mode & 0o777)
        for path in sorted(home.rglob("*"))
        if path.is_file()
    }


def state(home: Path) -> operations.StackState:
    words = ["bash", "-euo", "pipefail", str(STATE), str(home), "", ""]
    output = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return operations.Stack().process(output.splitlines())


def pair(key: str) -> KeyPair:
    return KeyPair(SecretStr(key), SecretStr(SECRET))


def test_a_pair_is_made_once_and_kept(tmp_path: Path) -> None:
    output = run(tmp_path)
    made = files(tmp_path)
    assert set(made) == {
        "livekit/keys.yaml",
        "secrets/livekit.env",
        "secrets/livekit-digest.env",
        "secrets/bedrock.env",
    }
    assert {mode for _, mode in made.values()} == {0o600}
    assert made["secrets/bedrock.env"][0] == ""
    secret = made["livekit/keys.yaml"][0].split(": ")[1].strip()
    assert len(secret) >= 32
    assert secret not in output
    assert run(tmp_path) == ""
    assert files(tmp_path) == made


def test_an_imported_pair_replaces_the_old_one_which_stays_beside(tmp_path: Path) -> None:
    run(tmp_path)
    before = files(tmp_path)["livekit/keys.yaml"][0]
    output = run(tmp_path, f"APIimported {SECRET}\n")
    after = files(tmp_path)
    assert after["livekit/keys.yaml"][0] == f"APIimported: {SECRET}\n"
    assert after["secrets/livekit.env"][0] == f"LIVEKIT_API_KEY=APIimported\nLIVEKIT_API_SECRET={SECRET}\n"
    assert before in [text for name, (text, _) in after.items() if name.startswith("livekit/keys.yaml.2")]
    assert SECRET not in output


def test_the_agents_pair_is_imported_kept_and_removed_when_told(tmp_path: Path) -> None:
    run(tmp_path)
    livekit = files(tmp_path)["livekit/keys.yaml"]
    output = run(tmp_path, f"\n{AWS_ID} {SECRET}\n")
    imported = files(tmp_path)
    assert imported["secrets/bedrock.env"] == (f"AWS_ACCESS_KEY_ID={AWS_ID}\nAWS_SECRET_ACCESS_KEY={SECRET}\n", 0o600)
    assert imported["livekit/keys.yaml"] == livekit
    assert SECRET not in output
    assert run(tmp_path, "\n\n") == ""
    assert files(tmp_path) == imported
    run(tmp_path, f"\n{AWS_ID} {'t' * 40}\n")
    output = run(tmp_path, "\nnone\n")
    assert "delete it in IAM" in output
    assert [name for name, (text, _) in files(tmp_path).items() if "AWS" in text] == []
    assert files(tmp_path)["livekit/keys.yaml"] == livekit


def test_the_gates_rotation_which_sends_one_line_leaves_the_agents_pair(tmp_path: Path) -> None:
    run(tmp_path, f"\n{AWS_ID} {SECRET}\n")
    before = files(tmp_path)["secrets/bedrock.env"]
    run(tmp_path, f"APIother {SECRET}\n")
    assert files(tmp_path)["secrets/bedrock.env"] == before


def test_the_files_are_recognised_by_what_was_sent(tmp_path: Path) -> None:
    """Otherwise every run with a pair would replace it by itself."""
    livekit, agent = pair("APIimported"), pair(AWS_ID)
    assert (state(tmp_path).keys_digest, state(tmp_path).agent_keys_digest) == ("", "")
    run(tmp_path, f"{livekit.line()}\n{agent.line()}\n")
    found = state(tmp_path)
    assert operations._is_on_host(found.keys_digest, operations._keys_yaml(livekit))
    assert operations._is_on_host(found.agent_keys_digest, operations._bedrock_env(agent))
    assert not operations._is_on_host(found.agent_keys_digest, "")
    assert not operations._is_on_host("", None)
    run(tmp_path, "\nnone\n")
    assert operations._is_on_host(state(tmp_path).agent_keys_digest, "")


@pytest.mark.parametrize("other", ["secrets/livekit.env", "livekit/keys.yaml", "secrets/livekit-digest.env"])
def test_files_of_two_pairs_are_no_pair_and_the_next_run_mends_them(tmp_path: Path, other: str) -> None:
    """As a run leaves them that is cut off between two."""
    run(tmp_path, f"APIimported {SECRET}\n")
    before = files(tmp_path)
    text = before[other][0]
    run(tmp_path, f"APIother {'t' * 40}\n")
    (tmp_path / other).write_text(text)
    assert not operations.has_pairs(state(tmp_path), None, None)
    run(tmp_path)
    assert operations.has_pairs(state(tmp_path), None, None)
    wanted = "APIimported" if other == "secrets/livekit.env" else "APIother"
    assert files(tmp_path)["livekit/keys.yaml"][0].startswith(f"{wanted}: ")
    assert files(tmp_path)["secrets/livekit.env"][0].startswith(f"LIVEKIT_API_KEY={wanted}\n")


def test_a_connection_that_is_gone_does_not_end_it_between_two_files(tmp_path: Path) -> None:
    run(tmp_path, f"APIbefore {SECRET}\n")
    reader, writer = os.pipe()
    os.close(reader)
    words = ["bash", "-euo", "pipefail", str(SCRIPT), str(tmp_path)]
    done = subprocess.run(words, input=f"APInew {'t' * 40}\n", stdout=writer, text=True, check=False)
    os.close(writer)
    assert done.returncode != 0
    assert operations.has_pairs(state(tmp_path), KeyPair(SecretStr("APInew"), SecretStr("t" * 40)), None)


def test_the_files_hold_what_the_map_says(tmp_path: Path) -> None:
    run(tmp_path, f"APIimported {SECRET}\n{AWS_ID} {SECRET}\n")
    written = files(tmp_path)
    in_container = {
        "AGENT_AWS_ACCESS_KEY_ID": "AWS_ACCESS_KEY_ID",
        "AGENT_AWS_SECRET_ACCESS_KEY": "AWS_SECRET_ACCESS_KEY",
    }
    for held in READERS.values():
        for file, names in held.items():
            text = written[file][0]
            if file.endswith(".env"):
                variables = [line.partition("=")[0] for line in text.splitlines()]
                assert variables == [in_container.get(name, name) for name in names]
            else:
                assert yaml.safe_load(text) == {"APIimported": SECRET}
    unread = set(SECRETS) - {name for held in READERS.values() for names in held.values() for name in names}
    assert unread == {"HF_TOKEN"}


def test_a_pair_does_not_show_itself() -> None:
    shown = f"{pair(AWS_ID)} {pair(AWS_ID)!r}"
    assert SECRET not in shown
    assert AWS_ID not in shown
