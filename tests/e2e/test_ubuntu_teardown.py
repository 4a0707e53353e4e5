"""deploys/teardown.py on the host that test_ubuntu.py made and nobody needs any more, which had been used before.

In order: refused, the stack alone beside what strangers have, back again, everything, and half a deploy without Docker.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.documented import documented_command
from tests.e2e.conftest import LabHost, Run
from tests.e2e.operators import DOMAIN, NAME, operator_of
from tests.e2e.test_debian import healthy
from tests.e2e.test_ubuntu import BEFORE, INVENTORY, RIVAL, used_host
from voicestack.stack.render import SERVICES

pytestmark = pytest.mark.usefixtures("lab_services")

PROGRAM = "deploys/teardown.py"
CONFIRM = "teardown_confirm=voice.lab.example.org"
ALL = ("teardown_weights=true", "teardown_secrets=true")
TREE = "find /opt/voice /var/lib/voice /etc /models /root -xdev -printf '%p %m %U %C@\\n' | sort | sha256sum"
WEIGHTS = "find /models -type f -name '*.safetensors' -printf '%p %i %C@\\n' | sort"


@pytest.fixture(scope="module")
def host(lab_services: None) -> LabHost:
    """The host as test_ubuntu.py left it, if it ran before, or a new one like it: a deploy makes both the same."""
    host = LabHost("ubuntu")
    if "no" in host.shell(f"[ -e {BEFORE} ] && [ -e /opt/voice/compose.yml ] || echo no"):
        host = used_host()
    run = host.deploy()
    assert run.status == 0, run.printed[-4000:]
    return host


def teardown(host: LabHost, *data: str, dry: bool = False) -> Run:
    return host.deploy(*(word for each in data for word in ("--data", each)), program=PROGRAM, dry=dry)


def done(run: Run) -> Run:
    assert run.status == 0, run.printed[-4000:]
    assert "Traceback" not in run.printed
    return run


def planned(run: Run) -> list[str]:
    return [operation["name"] for operation in run.result["plan"] if operation["hosts_with_change"]]


def test_without_the_sites_name_it_lists_everything_and_changes_nothing(host: LabHost) -> None:
    before = host.containers(), host.shell(TREE)
    run = teardown(host, "teardown_confirm=voice.example.org")
    assert run.status == 1
    assert "nothing was changed. What goes and what stays is listed above" in run.printed
    assert "goes: containers voice-voice-agent-1, voice-vllm-guard-1" in run.printed
    assert "stays: 9" in run.printed  # 92 MB of weights
    assert re.search(r"stays: driver, toolkit and Docker with packages, holds and files \(.*/daemon\.json", run.printed)
    dry = done(teardown(host, CONFIRM, *ALL, dry=True))
    assert len(planned(dry)) == 5
    assert "goes for good: " in dry.printed
    assert (host.containers(), host.shell(TREE)) == before


def test_the_stack_goes_agent_first_and_strangers_things_stay(host: LabHost) -> None:
    host.shell(
        "docker volume create mine; docker create --name stranger --entrypoint sleep -v mine:/mine "
        "caddy:2.11.7-alpine 1; docker commit stranger mine:1; mkdir -p /models/exploration; "
        "echo 1 | tee /opt/voice/notes.txt /models/exploration/x /etc/apt/sources.list.d/voice-mine.sources"
    )
    weights = host.shell(WEIGHTS)
    since = host.shell("date +%s")
    run = done(teardown(host, CONFIRM))
    assert len(run.changed) == 4
    assert "voice-voice-agent-1: stopping, which may take 75 s" in run.printed
    events = '{{.Action}} {{index .Actor.Attributes "com.docker.compose.service"}} {{.Actor.Attributes.signal}}'
    seen = host.shell(f"docker events --since {since} --until 0s --filter type=container --format '{events}'")
    ended = [line.split()[1] for line in seen.splitlines() if line.startswith("die ")]
    assert ended == ["voice-agent", "vllm-guard", "vllm-voxtral", "caddy", "livekit"]
    assert "kill voice-agent 9" not in seen
    assert host.shell("docker ps -aq --filter label=com.docker.compose.project=voice; docker volume ls -q") == "mine"
    images = host.shell("docker image ls --format '{{.Repository}}:{{.Tag}}'").split()
    assert sorted(images) == ["caddy:2.11.7-alpine", "mine:1"]
    assert host.shell("find /opt/voice /var/lib/voice -type f", check=False).split() == ["/opt/voice/notes.txt"]
    assert host.shell(WEIGHTS) == weights
    for told in ("/opt/voice/notes.txt", "/models/exploration", "container stranger", "volume mine", "image mine:1"):
        assert f"stays, not ours: {told}" in run.printed
    record = json.loads(host.shell("tail -n 1 /var/log/voice/runs.jsonl"))
    assert record["what"] == PROGRAM
    assert record["outcome"] == "done: 4 of 6 operations changed something"


def test_again_changes_nothing(host: LabHost) -> None:
    assert done(teardown(host, CONFIRM)).changed == []
    assert host.shell("docker ps -aq --filter name=stranger") != ""


def test_the_way_back_has_the_same_keys_certificates_and_weights(host: LabHost) -> None:
    host.shell("docker rm -f stranger; docker volume rm mine; docker image rm mine:1; rm -r /models/exploration")
    host.shell("rm /opt/voice/notes.txt /etc/apt/sources.list.d/voice-mine.sources")
    weights = host.shell(WEIGHTS)
    kept = "/var/backups/voice/2*"
    keys = f"cat {kept}/opt/voice/livekit/keys.yaml {kept}/var/lib/voice/caddy/data/caddy/pki/*/*/*.key | sha256sum"
    before = host.shell(keys)
    way_back = host.shell(f"grep -h 'cp -a' {kept}/README")
    host.shell(way_back)
    run = done(host.deploy(token=""))
    assert [name for name in run.changed if "weights" in name or "key pairs" in name] == []
    assert host.shell(WEIGHTS) == weights
    assert host.shell(keys.replace(kept, "")) == before
    assert healthy(host) == sorted(SERVICES)


def test_everything_goes_and_of_what_bears_the_stacks_name_only_the_machines_files_are_left(host: LabHost) -> None:
    """Docker is not running, its containers are: it keeps them alive."""
    host.shell("systemctl stop docker.socket docker.service; pgrep -x containerd-shim")
    run = done(teardown(host, CONFIRM, *ALL))
    assert len(run.changed) == 6
    assert "Docker does not answer: it is started" in run.printed
    assert host.shell("docker ps -aq; docker image ls -q; docker volume ls -q") == ""
    before = set(host.shell(f"cat {BEFORE}").splitlines())
    after = set(host.shell("sh", stdin=INVENTORY.read_text()).splitlines())
    (stays,) = set(
        re.findall(r"stays: driver, toolkit and Docker with packages, holds and files \((.*)\)", run.printed)
    )
    left = {line for line in after - before if line.startswith("file ") and ("voice" in line or "/models" in line)}
    assert left <= {f"file {path}" for path in stays.split(", ")}
    assert f"file {RIVAL}.before-voice" in left
    assert done(teardown(host, CONFIRM, *ALL)).changed == []


def test_a_host_with_half_a_deploy_and_no_docker_is_taken_down_too(host: LabHost) -> None:
    host.shell("apt-get -qqy --allow-change-held-packages remove docker-ce docker-ce-cli")
    host.shell(
        "mkdir -p /opt/voice/secrets /opt/voice/.staged/bin /opt/voice/caddy && touch /opt/voice/.staged/bin/start.py"
    )
    host.shell("umask 077; echo LIVEKIT_API_KEY=half | tee /opt/voice/secrets/livekit.env.new")
    run = done(teardown(host, CONFIRM, ALL[0]))
    assert len(run.changed) == 2
    assert "stays: /var/lib/docker; Docker is gone" in run.printed
    assert host.shell("ls -d /opt/voice", check=False) == ""
    assert host.shell("cat /var/backups/voice/2*/opt/voice/secrets/livekit.env.new") == "LIVEKIT_API_KEY=half"


def test_the_documents_command_takes_down_what_an_operator_has_on_ec2(host: LabHost, tmp_path: Path) -> None:
    """A host that has nothing: what the command does to one that has all is above."""
    with operator_of(host, tmp_path) as operator:
        operator.succeeds(
            documented_command(
                ".venv/bin/pyinfra --limit HOST inventories/prod.py deploys/teardown.py "
                "--data teardown_confirm=voice.example.org",
                {"HOST": NAME, "voice.example.org": DOMAIN},
            )
        )
