"""An agent of the owner's: what travels of its directory, what is named when its image is wrong, who does the rest."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from on_host import docker
from on_host.start import waiting
from on_host.start.causes import likely_cause
from tests.render import matrix
from voicestack import images
from voicestack.paths import ROOT, TOOLS
from voicestack.secrets.run import AGENT_PAIR, LIVEKIT_PAIR
from voicestack.settings.load import SettingsError, parse
from voicestack.stack import operations, render

BUILD = Path(operations.__file__).with_name("build.sh")
MINIMAL = ROOT / "tests" / "agents" / "minimal"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory of somebody's, with what does not belong in an image."""
    place = tmp_path / "agent"
    for path in (".git/HEAD", ".venv/bin/python", "app/__pycache__/main.pyc", ".env", "app/main.py", "Dockerfile"):
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(path)
    (place / "start.sh").write_text("exec python3 app/main.py")
    (place / "start.sh").chmod(0o755)
    return place


def test_all_files_travel_with_their_executable_bit_and_no_secrets(data: dict[str, Any], source: Path) -> None:
    files = parse({**data, "agent_source": str(source)}).agent_build.files
    assert {path: file.mode for path, file in files.items()} == {
        "Dockerfile": 0o644,
        "app/main.py": 0o644,
        "start.sh": 0o755,
    }


def test_the_image_is_named_by_all_that_goes_in(data: dict[str, Any], source: Path) -> None:
    def name(**changes: str) -> str:
        return parse({**data, "agent_source": str(source), **changes}).agent_build.name

    names = [name(), name(image_agent_base="python:3.14-slim-trixie")]
    (source / "start.sh").chmod(0o644)
    names.append(name())
    (source / "app" / "main.py").write_text("other")
    names.append(name())
    assert len(set(names)) == 4
    (source / ".env").write_text("SECRET=other")
    assert name() == names[-1]


def test_a_directory_that_no_image_can_be_built_from_is_refused_before_connecting(
    data: dict[str, Any], source: Path
) -> None:
    with (source / "weights.bin").open("wb") as weights:
        weights.truncate((images.MOST_MIB << 20) + 1)
    with pytest.raises(SettingsError, match=r"agent_source: \S+/agent holds more than 32 MiB.* weights are mounted"):
        parse({**data, "agent_source": str(source)})
    with pytest.raises(SettingsError, match=r"agent_source: \S+/app has no Dockerfile; docs/agent.md says"):
        parse({**data, "agent_source": str(source / "app")})


def test_this_clones_agent_asks_bedrock_and_verifies_whoevers_takes_the_calls(data: dict[str, Any]) -> None:
    ours, theirs = parse(data), parse({**data, "agent_source": "tests/agents/minimal"})
    assert ours.tools_build == ours.agent_build
    assert theirs.agent_build.files.keys() == {"Dockerfile", "main.py"}
    assert (theirs.tools_build.files, theirs.tools_build.arguments["WHISPER_DEVICE"]) == (ours.agent_build.files, "cpu")
    for settings in (ours, theirs):
        facts = render.HostFacts("192.0.2.10", settings.agent_build.name)
        model = yaml.safe_load(render.render(settings, facts)["compose.yml"].content)
        assert model["x-tools"] == settings.tools_build.name
        assert model["services"]["voice-agent"]["image"] == settings.agent_build.name


# --- its image ------------------------------------------------------------------------------------------------------


def built(tmp_path: Path, docker: str) -> subprocess.CompletedProcess[str]:
    """What the build's script does where this is `docker`; it must not leave the context behind."""
    (tmp_path / "context").mkdir()
    (tmp_path / "docker").write_text(f"#!/bin/bash\n{docker}\n")
    (tmp_path / "docker").chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", BUILD, tmp_path / "context", "voice-agent:1", "A=b"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not (tmp_path / "context").exists()
    return done


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("#9 1.23 ModuleNotFoundError: No module named 'distutils'", "python3 -m ensurepip --upgrade"),
        ("#9 1.23 ModuleNotFoundError: No module named 'distutils.util'", "python3 -m ensurepip --upgrade"),
        ("#9 1.23 E: Unable to locate package python3.12-venv", "the deadsnakes PPA"),
        ("#9 1.23 E: Couldn't find any package by glob 'python3.12'", "the deadsnakes PPA"),
        (
            "ERROR: failed to solve: nvidia/cuda:12.4.1-base-ubuntu24.04: failed to resolve source metadata for "
            "docker.io/nvidia/cuda:12.4.1-base-ubuntu24.04: docker.io/nvidia/cuda:12.4.1-base-ubuntu24.04: not found",
            "no registry has the image in FROM",
        ),
        ("#9 1.23 ModuleNotFoundError: No module named 'livekit'", "with --prefix"),
    ],
)
def test_finding_07_and_08_a_failed_build_ends_in_its_cause(tmp_path: Path, said: str, cause: str) -> None:
    done = built(tmp_path, f'echo "{said}"; echo "ERROR: did not complete successfully: exit code: 1" >&2; exit 1')
    assert done.returncode == 1
    assert said in done.stdout
    assert "did not complete" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("likely cause: ")
    assert cause in line


def test_a_build_that_fails_for_another_reason_has_no_cause(tmp_path: Path) -> None:
    done = built(tmp_path, "echo '#9 make: *** Error 2'; exit 1")
    assert (done.returncode, done.stdout, done.stderr) == (1, "#9 make: *** Error 2\n", "")


LOCAL = """echo "$@" >> "${{0%/*}}/asked"
case $1 in
build) echo "$@" ;;
create) echo 0123 ;;
cp) {copied} ;;
image) echo '[PATH=/usr/bin {also}]' ;;
esac"""


def test_finding_10_packages_in_usr_local_local_are_named_and_the_image_does_not_count_as_built(tmp_path: Path) -> None:
    done = built(tmp_path, LOCAL.format(copied="exit 0", also=""))
    assert done.returncode == 1
    assert "/usr/local/local, where no Python looks: pip install --prefix=/install" in done.stderr.splitlines()[-1]
    asked = (tmp_path / "asked").read_text().splitlines()
    assert "rm 0123" in asked
    assert asked[-1] == "rmi voice-agent:1"


@pytest.mark.parametrize(("copied", "also"), [("exit 1", ""), ("exit 0", "PYTHONPATH=/usr/local/local/lib")])
def test_an_image_whose_packages_are_found_is_built(tmp_path: Path, copied: str, also: str) -> None:
    done = built(tmp_path, LOCAL.format(copied=copied, also=also))
    assert (done.returncode, done.stderr) == (0, "")
    assert "--build-arg=A=b" in done.stdout
    asked = (tmp_path / "asked").read_text().splitlines()
    assert "rm 0123" in asked
    assert "rmi voice-agent:1" not in asked


def test_finding_10_a_module_that_is_missing_at_the_start_is_named() -> None:
    assert "virtual environment" in (likely_cause(["ModuleNotFoundError: No module named 'livekit'"]) or "")
    assert likely_cause(["INFO plugin x: ModuleNotFoundError: No module named 'y', not used"]) is None


@pytest.mark.parametrize("check", [{}, {"Healthcheck": {"Interval": 10}}, {"Healthcheck": {"Test": ["NONE"]}}])
def test_an_image_without_a_health_check_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, check: dict[str, Any]
) -> None:
    """Compose gives the times and Docker has nothing to ask: to wait would be in vain."""
    present = {"voice-agent": {"Id": "c", "Config": check, "State": {"Status": "running"}, "RestartCount": 0}}
    monkeypatch.setattr(docker, "containers", lambda: present)
    began = time.monotonic()
    with pytest.raises(waiting.NotHealthyError, match="voice-agent: its image has no HEALTHCHECK"):
        waiting.await_health("voice-agent", 60)
    assert time.monotonic() - began < 5


# --- what runs beside it --------------------------------------------------------------------------------------------


def tools(tmp_path: Path, runs: str, environment: str) -> list[str]:
    """The calls of docker, and the environment that a container got, when the agent's container `runs` this image."""
    (tmp_path / "compose.yml").write_text("name: voice\nx-tools: voice-agent:ours\n")
    (tmp_path / "docker").write_text(f"""#!/bin/bash
echo "$@" >> {tmp_path}/asked
case $* in
*.Config.Image*) echo {runs} ;;
*.Config.Env*) cat {tmp_path}/environment ;;
run*) cat > {tmp_path}/given ;;
esac""")
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "environment").write_text(environment)
    words = ["bash", "-euo", "pipefail", str(TOOLS), str(tmp_path), "0123", "invite", "--minutes", "7"]
    subprocess.run(words, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=True)
    return (tmp_path / "asked").read_text().splitlines()


def test_our_agent_is_asked_in_its_container(tmp_path: Path) -> None:
    said = tools(tmp_path, "voice-agent:ours", "")
    assert said[-1] == "exec 0123 /opt/venv/bin/python -m voice_agent invite --minutes 7"


def test_beside_another_agent_ours_has_all_that_is_rendered_and_nothing_of_the_others_image(tmp_path: Path) -> None:
    rendered = {**render.environments(matrix.case().settings)["voice-agent"]}
    secrets = [name.removeprefix("AGENT_") for name in (*LIVEKIT_PAIR, *AGENT_PAIR)]
    del rendered["HF_HUB_OFFLINE"]  # our image has it by itself
    given = [f"{name}=x" for name in (*rendered, *secrets)]
    said = tools(tmp_path, "voice-agent:theirs", "\n".join(["PATH=/bin", "PYTHONPATH=/app", *given, ""]))
    run = next(line for line in said if line.startswith("run"))
    assert "--volumes-from 0123" in run
    assert run.endswith(" voice-agent:ours invite --minutes 7")
    assert (tmp_path / "given").read_text().splitlines() == given


# --- the example ----------------------------------------------------------------------------------------------------


def test_the_example_keeps_the_contract(tmp_path: Path) -> None:
    """With the rendered variables and the weights it is healthy, without its key pair not; and it has 31 lines."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "model.bin").touch()
    secrets = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "secret"}
    rendered = render.environments(matrix.case(agent_health_port=port).settings)["voice-agent"]
    given = {**os.environ, **rendered, "FASTER_WHISPER_MODEL": str(tmp_path)}
    program = [sys.executable, str(MINIMAL / "main.py")]

    def healthy(environment: dict[str, str]) -> bool:
        check = [*program, "healthcheck"]
        with subprocess.Popen(program, env=environment, stderr=subprocess.DEVNULL) as agent:
            try:
                deadline = time.monotonic() + 10
                while time.monotonic() < deadline:
                    done = subprocess.run(check, env=environment, capture_output=True, text=True, check=False)
                    if done.returncode == 0 or "503" in done.stderr:
                        return done.returncode == 0
                raise AssertionError(done.stderr)
            finally:
                agent.terminate()

    assert healthy({**given, **secrets})
    assert not healthy(given)
    assert len((MINIMAL / "main.py").read_text().splitlines()) <= 31


def test_the_contract_names_every_variable_that_an_agent_gets() -> None:
    readme = (ROOT / "agent" / "README.md").read_text()
    given = render.environments(matrix.case().settings)["voice-agent"].keys() - {"HF_HUB_OFFLINE"}
    assert {name for name in given if f"`{name}`" not in readme} == set()
