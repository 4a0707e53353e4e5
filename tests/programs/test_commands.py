"""The documents' commands that need no host, as they stand there, in a clone; AWS is moto's, over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documented import ROOT, documented_command
from tests.lab.bedrock.catalog import Catalog
from tests.lab.ec2.amazon import PROFILE, Amazon
from tests.programs.instances import launch
from tests.programs.launching.cloud import publish_image
from tests.terminal import Operator


@pytest.fixture
def amazon(tmp_path: Path) -> Iterator[Amazon]:
    with Amazon(tmp_path) as made:
        yield made


@pytest.fixture
def operator(amazon: Amazon, tmp_path: Path) -> Operator:
    """Somebody with AWS credentials and nothing set."""
    operator = Operator(tmp_path, (ROOT / "group_data" / "prod.py").read_text(), amazon.environment)
    operator.exports(documented_command("export AWS_PROFILE=...", {"...": PROFILE}))
    return operator


def states(amazon: Amazon) -> list[str]:
    """Of all instances."""
    found = amazon.client("ec2").describe_instances()["Reservations"]
    return [each["State"]["Name"] for reservation in found for each in reservation["Instances"]]


def test_a_host_is_launched_and_ended(operator: Operator, amazon: Amazon) -> None:
    publish_image(amazon.client("ec2"))
    operator.exports(documented_command("export VOICE_SSH_FROM=203.0.113.7/32"))
    dry = operator.succeeds(documented_command(".venv/bin/python -m voicestack.launch --dry-run"))
    assert "changes would be made; nothing was changed" in dry
    launch_it = documented_command(".venv/bin/python -m voicestack.launch")
    assert operator.types(launch_it, "n\n").stdout.endswith("[y/N]\nNothing was changed.\n")
    assert states(amazon) == []
    assert "Next: deploys/voice.py" in operator.succeeds(launch_it, "y\n")
    assert states(amazon) == ["running"]
    assert "All of it is as it should be; nothing was changed." in operator.succeeds(launch_it)
    operator.succeeds(documented_command(".venv/bin/python -m voicestack.launch --terminate voice"), "y\n")
    assert states(amazon) == ["terminated"]


def test_a_rebuilds_variables_are_what_a_launch_needs(operator: Operator, amazon: Amazon) -> None:
    publish_image(amazon.client("ec2"))
    operator.exports(
        documented_command(
            "export VOICE_DOMAIN=... VOICE_ACME_EMAIL=... VOICE_TAG=Role=voice VOICE_SSH_FROM=203.0.113.7/32",
            {"DOMAIN=...": "DOMAIN=voice.example.org", "EMAIL=...": "EMAIL=operator@example.org"},
        )
    )
    assert operator.environment["VOICE_DOMAIN"] == "voice.example.org"
    operator.succeeds(documented_command(".venv/bin/python -m voicestack.launch"), "y\n")
    (found,) = amazon.client("ec2").describe_instances()["Reservations"]
    assert {"Key": "Role", "Value": "voice"} in found["Instances"][0]["Tags"]
    end_it = documented_command(".venv/bin/python -m voicestack.launch --terminate NAME", {"NAME": "voice"})
    operator.succeeds(end_it, "y\n")
    assert states(amazon) == ["terminated"]


def test_the_language_models_are_listed(operator: Operator, amazon: Amazon) -> None:
    list_them = documented_command(".venv/bin/python -m voicestack.bedrock")
    line = 'site_region, agent_bedrock_model = "eu-west-1", "mistral.ministral-3-14b-instruct"'
    catalog = Catalog()
    catalog.has("eu-central-1", "mistral.pixtral-large-2502-v1:0", "eu-central-1", "eu-north-1")
    catalog.has("eu-west-1", "mistral.ministral-3-14b-instruct")
    catalog.has("eu-west-1", "anthropic.some-v1:0")
    with catalog.served():
        assert f"\n  {line}\n" in operator.succeeds(list_them)
        assert f"\n{line}\n" in (ROOT / "docs/decisions/bedrock.md").read_text()
        theirs = operator.succeeds(documented_command(".venv/bin/python -m voicestack.bedrock --vendor anthropic"))
        assert ("anthropic.some" in theirs, "mistral." in theirs) == (True, False)
        operator.settings.write_text(line + "\n")
        operator.succeeds(list_them)
        assert catalog.asked[-1] == ("eu-west-1", "GetFoundationModel")
    del operator.environment["AWS_PROFILE"]
    nobody = operator.types(list_them)
    assert nobody.returncode == 1
    assert "AWS credentials: Unable to locate credentials; log in with `aws configure sso`" in nobody.stderr


def test_the_cards_plan_is_printed_and_drawn(operator: Operator) -> None:
    assert "free" in operator.succeeds(documented_command(".venv/bin/python -m voicestack.plan"))
    printed = operator.succeeds(documented_command(".venv/bin/python -m voicestack.plan --data gpu_card=46068"))
    assert "card of 46,068 MiB" in printed
    operator.succeeds(
        documented_command(
            "ssh HOST nvidia-smi --query-gpu=memory.total,memory.used --format=csv,noheader,nounits | "
            ".venv/bin/python -m voicestack.plan --measured - --svg plan.svg",
            {"ssh HOST nvidia-smi": "nvidia_smi() { echo 23034, 22451; }; nvidia_smi"},
        )
    )
    assert (operator.clone / "plan.svg").read_text().startswith("<svg")


def test_the_documents_picture_is_the_one_that_its_command_draws(operator: Operator) -> None:
    picture = Path("docs/decisions/gpu-memory.svg")
    (operator.clone / picture).unlink()
    operator.succeeds(
        documented_command(
            "echo 23034, 22451 | .venv/bin/python -m voicestack.plan --measured - "
            '--when "measured by its owner in April 2026 (0.68 / 0.1 / 0.25)" --svg docs/decisions/gpu-memory.svg'
        )
    )
    assert (operator.clone / picture).read_text() == (ROOT / picture).read_text()


@pytest.mark.parametrize("suite", ["tests/host", "tests/gate"])
def test_suites_for_hosts_find_them_through_aws_over_tls(operator: Operator, amazon: Amazon, suite: str) -> None:
    """gevent must patch ssl before boto3 takes from it, or there is a RecursionError; what they ask: tests/e2e."""
    collect = f".venv/bin/python -m pytest {suite} --inventory inventories/prod.py --collect-only -q"
    nothing = operator.types(collect)
    assert "there is no EC2 instance in eu-central-1" in nothing.stdout, nothing.stdout[-6000:]
    name = launch(amazon.client("ec2"), "voice-1")
    amazon.addresses[name] = "127.0.0.1"
    assert "[voice-1" in operator.succeeds(collect)
