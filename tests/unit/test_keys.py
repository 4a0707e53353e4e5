"""LiveKit's key pair: imported or made once, kept, never readable by others, never lost."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploys.access.secrets import SecretsError, livekit_keys
from deploys.stack import operations

SCRIPT = Path(operations.__file__).parent / "keys.sh"
SECRET = "s" * 40


def run(home: Path, stdin: str = "") -> str:
    words = ["bash", "-euo", "pipefail", str(SCRIPT), str(home)]
    return subprocess.run(words, input=stdin, capture_output=True, text=True, check=True).stdout


def files(home: Path) -> dict[str, tuple[str, int]]:
    return {
        path.relative_to(home).as_posix(): (path.read_text(), path.stat().st_mode & 0o777)
        for path in sorted(home.rglob("*"))
        if path.is_file()
    }


def test_a_pair_is_made_once_and_kept(tmp_path: Path) -> None:
    output = run(tmp_path)
    made = files(tmp_path)
    assert set(made) == {"livekit/keys.yaml", "secrets/livekit.env", "secrets/livekit-digest.env"}
    assert {mode for _, mode in made.values()} == {0o600}
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


def test_the_pair_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVEKIT_API_KEY", raising=False)
    monkeypatch.delenv("LIVEKIT_API_SECRET", raising=False)
    assert livekit_keys() is None
    monkeypatch.setenv("LIVEKIT_API_KEY", "APIx")
    with pytest.raises(SecretsError, match="at least 32"):
        livekit_keys()
    monkeypatch.setenv("LIVEKIT_API_SECRET", SECRET)
    pair = livekit_keys()
    assert pair is not None
    assert SECRET not in repr(pair)


def test_a_short_secret_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEKIT_API_KEY", "APIx")
    monkeypatch.setenv("LIVEKIT_API_SECRET", "hunter2hunter2")
    with pytest.raises(SecretsError) as caught:
        livekit_keys()
    assert "hunter2" not in str(caught.value)
