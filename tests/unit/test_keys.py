"""The key pairs on the host: imported, made once or kept, never readable by others, never lost."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from voicestack.secrets.run import AGENT_PAIR, LIVEKIT_PAIR, READERS, SECRETS, is_pair, read
from voicestack.stack import operations

STATE = Path(operations.__file__).parent / "state.sh"
SECRET = "s" * 40
AWS_ID = "AKIA" + "K" * 16


def bash(*words: str | Path, stdin: str = "") -> str:
    command = ["bash", "-euo", "pipefail", *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout


def run(home: Path, stdin: str = "", verb: str = "keep") -> str:
    return bash(operations.KEYS, home, verb, stdin=stdin)


def files(home: Path) -> dict[str, tuple[str, int]]:
    return {
        path.relative_to(home).as_posix(): (path.read_text(), path.stat().st_mode & 0o777)
        for path in sorted(home.rglob("*"))
        if path.is_file()
    }


def state(home: Path) -> operations.StackState:
    return operations.Stack().process(bash(STATE, home, "", "", operations.KEYS.read_text()).splitlines())


def livekits(key: str, secret: str = SECRET) -> str:
    return f"LIVEKIT_API_KEY={key}\nLIVEKIT_API_SECRET={secret}\n"


def agents(secret: str = SECRET) -> str:
    return f"AWS_ACCESS_KEY_ID={AWS_ID}\nAWS_SECRET_ACCESS_KEY={secret}\n"


def test_a_pair_is_made_once_and_kept(tmp_path: Path) -> None:
    output = run(tmp_path)
    made = files(tmp_path)
    env = {f"secrets/{name}.env" for name in ("livekit", "livekit-digest", "bedrock")}
    assert set(made) == {"livekit/keys.yaml", *env}
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
    output = run(tmp_path, livekits("APIimported"))
    after = files(tmp_path)
    assert after["livekit/keys.yaml"][0] == f"APIimported: {SECRET}\n"
    assert after["secrets/livekit.env"][0] == livekits("APIimported")
    assert before in [text for name, (text, _) in after.items() if name.startswith("livekit/keys.yaml.2")]
    assert SECRET not in output


def test_the_agents_pair_is_imported_kept_and_removed_when_told(tmp_path: Path) -> None:
    run(tmp_path)
    livekit = files(tmp_path)["livekit/keys.yaml"]
    output = run(tmp_path, agents())
    imported = files(tmp_path)
    assert imported["secrets/bedrock.env"] == (agents(), 0o600)
    assert imported["livekit/keys.yaml"] == livekit
    assert SECRET not in output
    assert run(tmp_path) == ""
    assert files(tmp_path) == imported
    run(tmp_path, agents("t" * 40))
    output = run(tmp_path, verb="none")
    assert "delete it in IAM" in output
    assert [name for name, (text, _) in files(tmp_path).items() if "AWS" in text] == []
    assert files(tmp_path)["livekit/keys.yaml"] == livekit


def test_the_rotation_which_sends_livekits_pair_alone_leaves_the_agents(tmp_path: Path) -> None:
    run(tmp_path, agents())
    before = files(tmp_path)["secrets/bedrock.env"]
    run(tmp_path, livekits("APIother"))
    assert files(tmp_path)["secrets/bedrock.env"] == before


def test_the_files_are_recognised_by_what_was_sent(tmp_path: Path) -> None:
    """Otherwise every run with a pair would replace it by itself."""
    livekit, agent = SecretStr(livekits("APIimported")), SecretStr(agents())
    assert (state(tmp_path).keys_digest, state(tmp_path).agent_keys_digest) == ("", "")
    assert not operations.has_pairs(state(tmp_path), None, None)
    assert list(tmp_path.iterdir()) == []  # a look changes nothing
    run(tmp_path, livekits("APIimported") + agents())
    found = state(tmp_path)
    assert operations.has_pairs(found, livekit, agent)
    assert operations.has_pairs(found, None, None)
    assert not operations.has_pairs(found, SecretStr(livekits("APIother")), agent)
    assert not operations.has_pairs(found, livekit, SecretStr(agents("t" * 40)))
    assert not operations.has_pairs(found, livekit, operations.NO_PAIR)
    run(tmp_path, verb="none")
    assert operations.has_pairs(state(tmp_path), livekit, operations.NO_PAIR)


@pytest.mark.parametrize(
    ("livekit", "agent", "verb"), [(None, None, "keep"), ("L\n", "A\n", "keep"), ("L\n", "", "none")]
)
def test_pairs_travel_on_stdin_alone(livekit: str | None, agent: str | None, verb: str) -> None:
    sent = [None if text is None else SecretStr(text) for text in (livekit, agent)]
    command = operations.put_pairs(*sent)
    assert command.connector_arguments["_stdin"] == "".join(filter(None, (livekit, agent)))
    assert command.get_raw_value().endswith(f"/opt/voice {verb}")


@pytest.mark.parametrize("other", ["secrets/livekit.env", "livekit/keys.yaml", "secrets/livekit-digest.env"])
def test_files_of_two_pairs_are_no_pair_and_the_next_run_mends_them(tmp_path: Path, other: str) -> None:
    """As a run leaves them that is cut off between two."""
    run(tmp_path, livekits("APIimported"))
    before = files(tmp_path)
    text = before[other][0]
    run(tmp_path, livekits("APIother", "t" * 40))
    (tmp_path / other).write_text(text)
    assert not operations.has_pairs(state(tmp_path), None, None)
    run(tmp_path)
    assert operations.has_pairs(state(tmp_path), None, None)
    wanted = "APIimported" if other == "secrets/livekit.env" else "APIother"
    assert files(tmp_path)["livekit/keys.yaml"][0].startswith(f"{wanted}: ")
    assert files(tmp_path)["secrets/livekit.env"][0].startswith(f"LIVEKIT_API_KEY={wanted}\n")


def test_a_connection_that_is_gone_does_not_end_it_between_two_files(tmp_path: Path) -> None:
    run(tmp_path, livekits("APIbefore"))
    reader, writer = os.pipe()
    os.close(reader)
    words = ["bash", "-euo", "pipefail", str(operations.KEYS), str(tmp_path), "keep"]
    done = subprocess.run(words, input=livekits("APInew"), stdout=writer, text=True, check=False)
    os.close(writer)
    assert done.returncode != 0
    assert operations.has_pairs(state(tmp_path), SecretStr(livekits("APInew")), None)


def test_the_files_hold_what_the_map_says(tmp_path: Path) -> None:
    secrets = {
        **dict(zip(LIVEKIT_PAIR, ("APIimported", SECRET), strict=True)),
        **dict(zip(AGENT_PAIR, (AWS_ID, SECRET), strict=True)),
    }
    given = read({**secrets, "VOICE_SECRETS_FILE": ""}, [])
    sent = {names: given.pair(names) or SecretStr("") for names in (LIVEKIT_PAIR, AGENT_PAIR)}
    run(tmp_path, "".join(text.get_secret_value() for text in sent.values()))
    written = files(tmp_path)
    for held in READERS.values():
        for file, names in held.items():
            text = written[file][0]
            if file.endswith(".env"):
                assert text == sent[names].get_secret_value()
                assert is_pair(text, names)
            else:
                assert yaml.safe_load(text) == {"APIimported": SECRET}
    unread = set(SECRETS) - {name for held in READERS.values() for names in held.values() for name in names}
    assert unread == {"HF_TOKEN"}


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (LIVEKIT_PAIR, ""),
        (LIVEKIT_PAIR, livekits("APIx", "s" * 31)),
        (LIVEKIT_PAIR, livekits("API x")),
        (LIVEKIT_PAIR, livekits("APIx") * 2),
        (LIVEKIT_PAIR, livekits("APIx").removesuffix("\n")),
        (LIVEKIT_PAIR, f"# mine\n{livekits('APIx')}"),
        (LIVEKIT_PAIR, agents()),
        (AGENT_PAIR, agents("short")),
        (AGENT_PAIR, agents().replace("AKIA", "ASIA")),
    ],
    ids=range(9),
)
def test_the_file_of_a_pair_has_its_two_lines_alone(names: tuple[str, str], text: str) -> None:
    assert is_pair(livekits("APIx") if names == LIVEKIT_PAIR else agents(), names)
    assert is_pair(livekits("APIx", "s" * 32), LIVEKIT_PAIR)
    assert not is_pair(text, names)
