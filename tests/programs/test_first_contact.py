"""A newcomer's first runs: what is missing is one list, and a run that cannot be checked ends before it connects."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import aws
from tests.lab.ec2.server import Ec2Server, Instance
from voicestack.host.report import parse_report

ROOT = Path(__file__).resolve().parents[2]
PYINFRA = Path(sys.executable).with_name("pyinfra")
README = (ROOT / "README.md").read_text()


@pytest.fixture
def nothing(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has set nothing, on a machine that is no EC2 instance."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_DISABLED": "true",
        "VOICE_SECRETS_FILE": "",  # the clone's own .env is no test's business
        "VOICE_LAB_STATE": "/nonexistent",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.fixture
def ec2() -> Iterator[Ec2Server]:
    """A region of AWS without an instance."""
    server = Ec2Server()
    server.in_background()
    yield server
    server.shutdown()
    server.server_close()


def credentials(ec2: Ec2Server) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": aws.USER.access_key_id,
        "AWS_SECRET_ACCESS_KEY": aws.USER.secret_access_key,
        "AWS_ENDPOINT_URL_EC2": ec2.url,
    }


def said(*words: str | Path, environment: dict[str, str], cwd: Path = ROOT) -> str:
    """What a run says that is refused before it connects, its error alone."""
    run = subprocess.run([PYINFRA, "-y", *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    assert "Connecting to hosts" not in run.stderr
    assert "Traceback" not in run.stderr
    before, _, error = run.stderr.partition("--> pyinfra error")
    assert "error" not in before.lower()
    return error


def items(error: str) -> list[str]:
    """What the lines of a list begin with."""
    return [line.removeprefix("  - ").split(":")[0] for line in error.splitlines() if line.startswith("  - ")]


PROD = "inventories/prod.py"
SITE = {"VOICE_DOMAIN": "voice.example.org", "HF_TOKEN": "hf_" + "t" * 34}
STORE = {"VOICE_SECRETS_SSM": "/voice/prod/", "VOICE_SECRETS_REGION": "eu-central-1"}


@pytest.mark.parametrize(
    ("inventory", "given", "missing"),
    [
        (PROD, {}, ["AWS credentials", "VOICE_DOMAIN", "HF_TOKEN", "DNS, address"]),
        ("@ec2/tag:Role=voice", {}, ["AWS credentials", "VOICE_DOMAIN", "HF_TOKEN", "DNS, address"]),
        (PROD, SITE, ["AWS credentials"]),
        (PROD, STORE, ["AWS credentials", "VOICE_DOMAIN", "DNS, address"]),
        (PROD, {"HF_TOKEN": "x"}, ["AWS credentials", "VOICE_DOMAIN", "HF_TOKEN from the environment", "DNS, address"]),
    ],
    ids=["nothing is set", "another inventory", "domain and token", "a store of secrets", "no token's form"],
)
def test_everything_that_is_missing_is_one_list(
    nothing: dict[str, str], inventory: str, given: dict[str, str], missing: list[str]
) -> None:
    error = said(inventory, "deploys/voice.py", environment={**nothing, **given})
    assert items(error) == missing
    fixes = {
        "AWS credentials": "aws configure sso",
        "VOICE_DOMAIN": "export VOICE_DOMAIN=voice.example.org",
        "HF_TOKEN": "export HF_TOKEN=hf_...",
        "DNS, address": "an A record",
    }
    for each in fixes.keys() & set(missing):
        assert fixes[each] in error
    assert "nothing was changed" in error


def test_the_readme_names_what_the_list_names_in_its_order(nothing: dict[str, str]) -> None:
    section = README.partition("\n## A real host\n")[2].partition("\n## ")[0]
    places = [section.find(f"export {name}=") for name in ("AWS_PROFILE", "VOICE_DOMAIN", "HF_TOKEN")]
    assert -1 not in places
    assert places == sorted(places)
    assert "site_public_address" in section


def test_with_credentials_and_no_instance_the_rest_is_named_too(nothing: dict[str, str], ec2: Ec2Server) -> None:
    error = said(PROD, "deploys/voice.py", environment={**nothing, **credentials(ec2)})
    assert items(error) == ["VOICE_TAG", "VOICE_DOMAIN", "HF_TOKEN", "DNS, address"]
    assert "there is no EC2 instance in eu-central-1 with Role=voice" in error
    assert "python -m voicestack.launch" in error


def test_with_an_instance_the_domain_and_the_token_are_named_together(nothing: dict[str, str], ec2: Ec2Server) -> None:
    ec2.instances = [Instance("voice-1")]
    error = said(PROD, "deploys/voice.py", environment={**nothing, **credentials(ec2)})
    assert items(error) == ["site_domain", "HF_TOKEN", "DNS, address"]
    assert "site_domain: missing; export VOICE_DOMAIN=voice.example.org" in error


@pytest.mark.parametrize(
    "inventory", [ROOT / PROD, ROOT / "inventories/example.py", "mine.py", "@local", "@eic/tag:A=b"]
)
@pytest.mark.parametrize("config", ["", "from pyinfra.context import config\n\nconfig.SUDO = True\n"])
def test_a_run_from_another_directory_is_told_where_to_go(
    nothing: dict[str, str], tmp_path: Path, inventory: str | Path, config: str
) -> None:
    """Another directory's config.py does not count: nothing was checked, and group_data was not read."""
    if config:
        (tmp_path / "config.py").write_text(config)
    (tmp_path / "mine.py").write_text('voice = ["voice.example.org"]\n')
    error = said(inventory, ROOT / "deploys/voice.py", environment=nothing, cwd=tmp_path)
    assert f"config.py was not read: run pyinfra from the repository's root: cd {ROOT}" in error
    assert len(error.strip().splitlines()) == 1


def test_a_clone_runs_its_own_code_whatever_is_installed(nothing: dict[str, str], tmp_path: Path) -> None:
    """This clone is the one that is installed in the environment that the other one's run uses."""
    for part in ("config.py", "deploys", "inventories", "group_data", "voicestack", "on_host", "agent/voice_agent"):
        copy = shutil.copy if (ROOT / part).is_file() else shutil.copytree
        copy(ROOT / part, tmp_path / part)
    checks = tmp_path / "voicestack" / "before_connecting.py"
    checks.write_text(checks.read_text().replace("the inventory has no hosts", "the other clone says no"))
    words = ("inventories/nowhere.py", "deploys/voice.py")
    assert "the other clone says no" in said(*words, environment=nothing, cwd=tmp_path)
    shutil.rmtree(tmp_path / "voicestack")
    error = said(*words, environment=nothing, cwd=tmp_path)
    assert f"this clone, {tmp_path}, would run the code of another one, {ROOT}: run `make setup` here" in error


def test_chdir_to_the_root_is_a_run_from_the_root(nothing: dict[str, str], tmp_path: Path) -> None:
    words = ("--chdir", ROOT, "inventories/prod.py", "deploys/voice.py")
    assert items(said(*words, environment=nothing, cwd=tmp_path))[0] == "AWS credentials"


@pytest.mark.parametrize(
    ("host", "deploy", "words"),
    [
        ("@local", "voice.py", "@local is not reached by ssh"),
        ("@local", "audit.py", "@local is not reached by ssh"),
        ("@docker/ubuntu", "voice.py", "@docker/ubuntu is not reached by ssh"),
        ("127.0.0.1", "voice.py", "127.0.0.1 is not in the inventory group voice"),
    ],
)
def test_a_host_whose_settings_would_go_unchecked_is_refused(
    nothing: dict[str, str], host: str, deploy: str, words: str
) -> None:
    error = said(host, f"deploys/{deploy}", "--data", "site_domain=voice.example.org", environment=nothing)
    assert words in error
    assert "inventories/example.py" in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["inventories/nowhere.py"], "the inventory has no hosts"),
        (["--data", "site_domain=", "inventories/example.py"], "voice.example.org: 1 setting cannot work; nothing was"),
    ],
)
def test_a_run_that_would_do_nothing_or_the_wrong_thing_is_refused(
    nothing: dict[str, str], words: list[str], error: str
) -> None:
    """pyinfra itself exits with 0 for a missing inventory. No lab is up here."""
    assert error in said(*words, "deploys/voice.py", environment=nothing)


def test_pyinfras_own_commands_go_to_any_host(nothing: dict[str, str]) -> None:
    subprocess.run([PYINFRA, "@local", "fact", "server.Kernel"], cwd=ROOT, env=nothing, capture_output=True, check=True)


@pytest.mark.parametrize(
    ("domain", "certificate", "row"),
    [("localhost", False, True), ("no.such.invalid", False, True), ("localhost", True, False), ("", False, False)],
)
def test_preflight_asks_where_the_domain_leads_unless_its_certificate_is_there(
    tmp_path: Path, domain: str, certificate: bool, row: bool
) -> None:
    state = tmp_path / "voice"
    if certificate:
        file = state / f"caddy/data/caddy/certificates/acme-v02.api.letsencrypt.org-directory/{domain}/{domain}.crt"
        file.parent.mkdir(parents=True)
        file.touch()
    script = tmp_path / "preflight.sh"
    script.write_text((ROOT / "voicestack/host/preflight.sh").read_text().replace("/var/lib/voice", str(state)))
    run = subprocess.run(
        ["bash", script, "", "", "", "", "", "/nonexistent", domain], capture_output=True, text=True, check=True
    )
    report = parse_report(run.stdout.splitlines())
    assert (report.domain_addresses is not None) == row
    if row:
        assert report.own_addresses
        assert bool(report.domain_addresses) == (domain == "localhost")
