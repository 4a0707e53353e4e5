"""An agent of the owner's on a Debian 13 host: the example takes the place of ours, and what is wrong is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import LabHost, assert_a_run_changes_nothing, deployed_host, refused_by_bedrock
from voicestack.paths import TOOLS

pytestmark = pytest.mark.usefixtures("lab_services")

EXAMPLE = ("--data", "agent_source=tests/agents/minimal")
AGENT = "voice-voice-agent-1"


@pytest.fixture(scope="module")
def host(lab_services: None) -> Iterator[LabHost]:
    """With this clone's agent before and after."""
    host = deployed_host("debian")
    yield host
    back = host.deploy()
    assert back.status == 0, back.printed[-4000:]
    assert "/opt/venv/bin/python" in host.shell(f"docker inspect -f '{{{{.Config.Healthcheck.Test}}}}' {AGENT}")
    assert_a_run_changes_nothing(host)


def test_the_example_takes_the_place_of_ours_and_a_second_run_changes_nothing(host: LabHost) -> None:
    before = host.containers()
    run = host.deploy(*EXAMPLE)
    assert run.status == 0, run.printed[-4000:]
    after = host.containers()
    assert {name for name in after if after[name] != before.get(name)} == {AGENT}
    assert before.keys() == after.keys()
    assert host.shell(f"docker exec {AGENT} id -u") == "10002"
    parts = json.loads(host.shell("curl -sf http://127.0.0.1:8081/"))["parts"]
    assert set(parts.values()) == {"ok"}
    assert_a_run_changes_nothing(host, *EXAMPLE)


def test_the_audit_knows_it(host: LabHost) -> None:
    run = host.deploy(*EXAMPLE, program="deploys/audit.py")
    assert run.status == 0, run.printed[-4000:]


def test_ours_asks_bedrock_and_makes_links_beside_it(host: LabHost) -> None:
    with refused_by_bedrock(host.name):
        run = host.deploy(*EXAMPLE)
    assert run.status == 1
    assert "the AWS account has no access to agent_bedrock_model" in run.printed
    made = host.shell(f"bash -euo pipefail -s /opt/voice {AGENT} invite --minutes 5", stdin=TOOLS.read_text())
    assert json.loads(made)["token"].count(".") == 2
    assert len(host.containers()) == 5


def test_the_gate_says_that_it_takes_no_call(host: LabHost, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    run = host.deploy(*EXAMPLE, "--data", f"gate_report={report}", program="deploys/verify.py")
    assert run.status == 1
    assert json.loads(report.read_text())["hosts"][host.name]["failure"]["leg"] == "worker"
    assert "Traceback" not in run.printed


MISTAKES = {
    "distutils": (
        """FROM ${BASE_IMAGE}
RUN python3 -m venv /opt/venv && /opt/venv/bin/python -c "from distutils.core import setup"
""",
        "Python has no distutils since 3.12",
    ),
    "deadsnakes": (
        """FROM ${BASE_IMAGE}
RUN apt-get install -y --no-install-recommends python3.12 python3.12-venv
""",
        "add the deadsnakes PPA",
    ),
    "prefix": (
        """FROM ${BASE_IMAGE} AS builder
ARG PIP_INDEX_URL
ARG PIP_TRUSTED_HOST
RUN python3 -m pip install --no-deps --prefix=/install idna
FROM ${BASE_IMAGE}
COPY --from=builder /install /usr/local
HEALTHCHECK CMD ["true"]
CMD ["python3", "-c", "import idna, time; time.sleep(3600)"]
""",
        "its packages are in /usr/local/local",
    ),
}


@pytest.mark.parametrize(("dockerfile", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_dockerfile_is_named_twice_and_what_runs_goes_on(
    host: LabHost, tmp_path: Path, dockerfile: str, said: str
) -> None:
    """Twice: an image that was built and refused does not count as at hand."""
    (tmp_path / "Dockerfile").write_text(f"ARG BASE_IMAGE\n{dockerfile}")
    before = host.containers()
    for _ in range(2):
        run = host.deploy("--data", f"agent_source={tmp_path}")
        assert run.status == 1
        assert said in run.printed
        assert host.containers() == before


def test_an_image_without_a_health_check_is_named_and_the_release_before_comes_back(
    host: LabHost, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text('ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCMD ["sleep", "3600"]\n')
    run = host.deploy("--data", f"agent_source={tmp_path}")
    assert run.status == 1
    assert "voice-agent: its image has no HEALTHCHECK" in run.printed
    assert "is back, healthy after" in run.printed
    assert host.shell(f"docker inspect -f '{{{{.State.Health.Status}}}}' {AGENT}") == "healthy"
