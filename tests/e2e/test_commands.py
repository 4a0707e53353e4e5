"""What README, the runbook and the decisions tell an operator to type, in order, on a host with the whole stack.

With inventories/prod.py as it is: EC2 is moto's, over TLS, and its one instance leads to the lab's host `ubuntu`. The
tests are one session at a terminal, so they run in the order they stand in; the last command, the teardown, is in
test_ubuntu_teardown.py, and those for the volume of the weights in test_rebuild.py.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documented import documented_command
from tests.e2e.conftest import LabHost, await_that, deployed_host
from tests.e2e.operators import DOMAIN, LAB_SETTINGS, NAME, operator_of
from tests.lab import ssh
from tests.lab.lock import locked
from tests.terminal import Operator
from voicestack.stack.render import SERVICES

pytestmark = pytest.mark.usefixtures("lab_services")


@pytest.fixture(scope="module")
def host(lab_services: None) -> LabHost:
    host = deployed_host("ubuntu")
    certificate = f"/var/lib/voice/caddy/data/caddy/certificates/local/{DOMAIN}/{DOMAIN}.json"
    await_that(lambda: host.shell(f"ls {certificate}", check=False) != "", "Caddy has its certificate", 120)
    return host


@pytest.fixture(scope="module")
def operator(host: LabHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with operator_of(host, tmp_path_factory.mktemp("operator")) as operator:
        yield operator


@pytest.fixture(scope="module")
def backup(operator: Operator) -> str:
    """The backup's name without its end."""
    operator.succeeds(documented_command("age-keygen -o identity.txt"))
    identity = (operator.clone / "identity.txt").read_text()
    recipient = re.findall(r"public key: (\S+)", identity)[0]
    operator.settings.write_text(f'{LAB_SETTINGS}\nbackup_recipients = ["{recipient}"]\n')
    shutil.copy(operator.clone / "identity.txt", operator.home)  # as private as it was made
    operator.succeeds(documented_command(".venv/bin/pyinfra -y inventories/prod.py deploys/backup.py"))
    (file,) = (operator.clone / "backups").iterdir()
    return file.name.removesuffix(".tar.age")


def on(host: LabHost, command: str) -> str:
    """What a command for the host prints there, typed by root in bash."""
    return host.shell(f"bash -c {shlex.quote(command)}")


def in_use(host: LabHost) -> int:
    return int(host.shell("readlink /opt/voice/releases/current"))


def test_a_run_finds_the_host_and_says_first_what_it_would_change(operator: Operator, host: LabHost) -> None:
    before = host.containers()
    operator.succeeds(documented_command(".venv/bin/pyinfra inventories/prod.py deploys/voice.py --dry"))
    operator.succeeds(documented_command(".venv/bin/pyinfra inventories/prod.py deploys/voice.py"))
    operator.succeeds(documented_command(".venv/bin/pyinfra -y inventories/prod.py deploys/voice.py"))
    assert host.containers() == before


def test_a_caller_is_answered(operator: Operator) -> None:
    with locked("bedrock", shared=True):
        operator.succeeds(documented_command(".venv/bin/pyinfra inventories/prod.py deploys/verify.py"))
        operator.succeeds(
            documented_command(
                ".venv/bin/python -m pytest tests/gate --inventory inventories/prod.py [--host H] [--rotation]",
                {"[--host H] [--rotation]": f"--host {NAME}"},
            )
        )
        operator.succeeds(
            documented_command(
                ".venv/bin/pyinfra --limit debian tests/lab/inventory/lab.py deploys/verify.py", {"debian": "ubuntu"}
            )
        )


def test_the_audit_and_the_hosts_tests_find_it_as_it_should_be(operator: Operator, tmp_path: Path) -> None:
    operator.succeeds(documented_command(".venv/bin/pyinfra -y inventories/prod.py deploys/audit.py"))
    report = tmp_path / "audit.json"
    operator.succeeds(
        documented_command(
            ".venv/bin/pyinfra -y inventories/prod.py deploys/audit.py --data audit_report=/var/lib/audit.json",
            {"/var/lib/audit.json": str(report)},
        )
    )
    assert json.loads(report.read_text())["hosts"][NAME]["passed"]
    printed = operator.succeeds(
        documented_command(".venv/bin/python -m pytest tests/host --inventory inventories/prod.py")
    )
    assert re.search(r"=+ \d\d passed", printed)


def test_the_weights_are_fetched_and_read_to_the_last_byte(operator: Operator, host: LabHost) -> None:
    operator.succeeds(documented_command(".venv/bin/pyinfra inventories/prod.py deploys/weights.py"))
    operator.succeeds(
        documented_command(
            ".venv/bin/pyinfra inventories/prod.py deploys/weights.py --data weights_verify=deep",
        )
    )
    copy = documented_command("tar -C /models -cf models.tar .")
    assert int(on(host, f"cd /var/tmp && {copy} && stat -c %s models.tar && rm models.tar")) > 90_000_000


def test_the_page_is_opened_and_a_release_taken_back(operator: Operator, host: LabHost) -> None:
    before = in_use(host)
    operator.settings.write_text(f"{LAB_SETTINGS}\ntalk_enabled = True\n")
    operator.succeeds(documented_command(".venv/bin/pyinfra inventories/prod.py deploys/voice.py"))
    with_page = in_use(host)
    assert with_page > before
    printed = operator.succeeds(documented_command(".venv/bin/pyinfra inventories/prod.py deploys/talk.py"))
    assert f"https://{DOMAIN}/talk/#" in printed
    operator.succeeds(documented_command(".venv/bin/pyinfra inventories/prod.py deploys/rollback.py"))
    assert in_use(host) < with_page  # a host of other tests has had more than these two
    again = documented_command(
        ".venv/bin/pyinfra inventories/prod.py deploys/rollback.py --data rollback_to=7",
        {"rollback_to=7": f"rollback_to={with_page}"},
    )
    operator.succeeds(again)
    assert in_use(host) == with_page
    operator.settings.write_text(LAB_SETTINGS)
    operator.succeeds(documented_command(".venv/bin/pyinfra inventories/prod.py deploys/voice.py"))
    assert in_use(host) == before


def test_a_backup_is_read_and_restored(operator: Operator, backup: str, host: LabHost) -> None:
    before = host.containers()
    file = f"backups/{backup}.tar.age"
    good = documented_command(
        "AGE_IDENTITY_FILE=... .venv/bin/pyinfra inventories/prod.py deploys/restore.py --dry --data restore_file=FILE",
        {"AGE_IDENTITY_FILE=...": "AGE_IDENTITY_FILE=identity.txt", "=FILE": f"={file}"},
    )
    operator.succeeds(good)
    operator.exports(documented_command("export AGE_IDENTITY_FILE=identity.txt"))
    dry = documented_command(
        ".venv/bin/pyinfra --limit HOST inventories/prod.py deploys/restore.py --data restore_file=... --dry",
        {"HOST": NAME, "...": file},
    )
    operator.succeeds(dry)
    unasked = documented_command(
        ".venv/bin/pyinfra -y --limit HOST inventories/prod.py deploys/restore.py "
        "--data restore_file=backups/HOST-TIME.tar.age",
        {"HOST-TIME": backup, "HOST": NAME},
    )
    operator.succeeds(unasked)
    operator.exports(documented_command("export AGE_IDENTITY_FILE=~/identity.txt"))
    named_otherwise = documented_command(
        ".venv/bin/pyinfra --limit HOST inventories/prod.py deploys/restore.py "
        "--data restore_file=backups/FILE.tar.age",
        {"HOST": NAME, "FILE": backup},
    )
    operator.succeeds(named_otherwise)
    assert host.containers() == before


def test_a_backup_is_read_without_this_repository(operator: Operator, backup: str) -> None:
    file = f"backups/{backup}.tar.age"
    listed = operator.succeeds(documented_command("age -d -i ~/identity.txt FILE | tar -tv", {"FILE": file}))
    assert "livekit.env" in listed
    about = documented_command("age -d -i identity.txt FILE | tar -xOf - voice-backup.json", {"FILE": file})
    assert json.loads(operator.types(about).stdout)["domain"] == DOMAIN


@pytest.mark.parametrize(
    ("command", "shows"),
    [
        (documented_command("python3 /opt/voice/bin/start.py --check"), r"^\{\}$"),
        (documented_command("ss -lntup"), r"livekit-server"),
        (documented_command("journalctl -u voice-nvidia-uvm.service"), r"Finished|Started"),
        (documented_command("dpkg --configure -a"), r"^$"),
        (documented_command("apt-get -f install"), r"0 upgraded, 0 newly installed"),
        (
            documented_command("docker exec voice-voice-agent-1 /opt/venv/bin/python -m voice_agent bedrock"),
            r"\"kind\": \"\"",
        ),
        (
            documented_command(
                "dpkg-query -W docker-ce docker-ce-cli containerd.io docker-buildx-plugin docker-compose-plugin"
            ),
            r"^docker-ce\t5:28",
        ),
        (documented_command("python3 /opt/voice/bin/start.py --releases"), r'"healthy": true'),
        (documented_command("cat /var/log/voice/runs.jsonl"), r'"what": "deploys/voice.py"'),
        (documented_command("curl 127.0.0.1:8081"), r"livekit"),
        (documented_command("curl 127.0.0.1:8081/metrics"), r"^voice_sessions 0"),
        (documented_command("docker ps"), r"voice-vllm-guard-1"),
        (documented_command("docker logs voice-vllm-guard-1"), r""),
        (documented_command("docker logs voice-caddy-1"), r""),
    ],
)
def test_what_the_runbook_asks_on_the_host(operator: Operator, host: LabHost, command: str, shows: str) -> None:
    assert re.search(shows, on(host, command), re.MULTILINE)


def test_the_runbook_counts_the_guards_failures(operator: Operator, host: LabHost) -> None:
    """grep exits with 1 where there are none: that is a good host's answer too."""
    count = documented_command(
        """grep -e 'verdict="deadline"' -e 'verdict="error"' <(curl -s 127.0.0.1:8081/metrics)"""
    )
    assert on(host, f"{count}; echo $?")[-1] in "01"


@pytest.mark.parametrize("service", SERVICES)
def test_a_health_checks_answer_is_shown(host: LabHost, service: str) -> None:
    command = documented_command("docker inspect --format '{{json .State.Health}}' voice-NAME-1", {"NAME": service})
    assert json.loads(on(host, command))["Status"] == "healthy"


def test_the_agents_program_is_what_its_readme_says(host: LabHost) -> None:
    inside = "docker exec voice-voice-agent-1 /opt/venv/bin/"
    on(host, inside + documented_command("python -m voice_agent healthcheck"))
    assert on(host, inside + documented_command("python -m voice_agent invite --minutes N", {"N": "5"})).count(".") == 2
    runs = on(host, "docker inspect -f '{{join .Config.Entrypoint \" \"}}' voice-voice-agent-1")
    assert runs == "/opt/venv/bin/" + documented_command("python -m voice_agent")


def test_the_card_is_asked_and_drawn(operator: Operator) -> None:
    *words, address = ssh.command("ubuntu")
    operator.succeeds(
        documented_command(
            "ssh HOST nvidia-smi --query-gpu=memory.total,memory.used --format=csv,noheader,nounits | "
            ".venv/bin/python -m voicestack.plan --measured - --svg plan.svg",
            {"ssh HOST": shlex.join([*words, address])},
        )
    )
    assert (operator.clone / "plan.svg").read_text().startswith("<svg")


def test_a_teardown_lists_what_would_go_and_takes_nothing(operator: Operator, host: LabHost) -> None:
    before = host.containers()
    dry = documented_command(".venv/bin/pyinfra inventories/prod.py deploys/teardown.py --dry")
    assert "goes: containers" in operator.succeeds(dry)
    assert host.containers() == before
