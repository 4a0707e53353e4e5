"""@eic against a real sshd, whose keys come from a stand-in for EC2 Instance Connect with a clock that can be moved."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from runpy import run_path
from typing import Any

import paramiko
import pytest
from pyinfra.api.command import StringCommand
from pyinfra.api.config import Config
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.connectors.sshuserclient.client import get_host_keys

from tests.documented import documented_command
from tests.e2e.conftest import await_that
from tests.host.through import handle
from tests.lab import aws
from tests.lab.ec2.amazon import Amazon
from tests.lab.ec2.endpoint import Endpoint
from tests.lab.ec2.server import Ec2Server, Instance, Pushed
from tests.lab.ec2.sshd import Sshd, console
from tests.lab.ssh import make_key
from tests.programs.instances import launch
from tests.terminal import Operator
from voicestack import lock
from voicestack.aws import ATTEMPTS, account
from voicestack.boot import await_next_boot
from voicestack.connect import instance_connect, tunnel
from voicestack.connect.pushed_key import PushedKey
from voicestack.pyinfra_insides import harden
from voicestack.remote import script_file

ROOT = Path(__file__).resolve().parents[2]


class Place:
    """A region with one instance, and the operator's home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.server = Ec2Server()
        self.server.in_background()
        self.instance = Instance("voice-1")
        self.server.instances = [self.instance]
        self.sshd = Sshd(home, self.server, self.instance)
        self.instance.console = console(self.sshd.public_key)
        self.known_hosts = home / ".ssh" / "voice_known_hosts"
        self.environment = {
            "HOME": str(home),
            "AWS_ACCESS_KEY_ID": aws.USER.access_key_id,
            "AWS_SECRET_ACCESS_KEY": aws.USER.secret_access_key,
            "AWS_ENDPOINT_URL_EC2": self.server.url,
            "AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT": self.server.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "VOICE_DOMAIN": "voice.example.org",
            "VOICE_ACME_EMAIL": "operator@example.org",
        }

    def hosts(self, inventory: str = "@eic/tag:Role=voice", **data: Any) -> list[Any]:
        """The hosts as pyinfra makes them, not connected."""
        state = State()
        config = Config(CONNECT_TIMEOUT=5)  # type: ignore[no-untyped-call]
        override = {"ssh_port": self.sshd.port, "ssh_user": "root", "_sudo": False, **data}
        found = Inventory(([inventory], {}), override_data=override)  # type: ignore[no-untyped-call]
        state.init(found, config, initial_limit=None)
        return list(found)

    def host(self, **data: Any) -> Any:
        """The only one."""
        (only,) = self.hosts(**data)
        return only

    def connected(self, **data: Any) -> Any:
        """The only one, connected."""
        host = self.host(**data)
        host.connect(raise_exceptions=True)
        return host

    def count(self, action: str) -> int:
        """How often this was asked of AWS."""
        return sum(entry.get("action") == action for entry in self.server.log)

    def admit(self, instance: str, user: str, line: str) -> None:
        """Have sshd take a key that was pushed elsewhere."""
        self.server.pushed.append(Pushed(instance, user, line, self.server.clock()))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    harden()
    made = Place(tmp_path)
    for variable in [name for name in os.environ if name.startswith(("AWS_", "VOICE_"))]:
        monkeypatch.delenv(variable)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    account.cache_clear()
    made.sshd.start()
    yield made
    made.sshd.stop()
    made.server.shutdown()
    made.server.server_close()
    account.cache_clear()


@pytest.fixture
def endpoint(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """The instance's Instance Connect Endpoint, and a run that is told to use one."""
    made = Endpoint(place.home)
    place.server.endpoint = made.name
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
    monkeypatch.setenv("VOICE_CONNECT", "tunnel")
    yield made
    with suppress(OSError):  # a test has stopped it
        made.stop()


def says(host: Any, command: str) -> str:
    """What a command prints on the host."""
    status, output = host.run_shell_command(StringCommand(command))
    assert status, output.stderr
    return str(output.stdout)


def refused(host: Any) -> str:
    """Why there is no connection."""
    with pytest.raises(ConnectError) as caught:
        host.connect(show_errors=False, raise_exceptions=True)
    return str(caught.value)


def command_line(place: Place, inventory: str, command: str) -> subprocess.CompletedProcess[str]:
    """`pyinfra INVENTORY exec -- COMMAND`, as an operator types it."""
    pyinfra = Path(sys.executable).with_name("pyinfra")
    words = ["-y", "-vvv", "--ssh-port", str(place.sshd.port), "--ssh-user", "root", "--data", "_sudo=False"]
    return subprocess.run(
        [pyinfra, *words, inventory, "exec", "--", command], cwd=ROOT, capture_output=True, text=True, check=False
    )


def cut_when(begun: Path, endpoint: Endpoint) -> None:
    """Cut all tunnels as soon as this file is there."""

    def cut() -> None:
        while not begun.exists():
            time.sleep(0.01)
        endpoint.cut()

    threading.Thread(target=cut, daemon=True).start()


# --- keys ---------------------------------------------------------------------------------------------------------


def test_a_key_is_made_and_pushed_for_every_connection(place: Place) -> None:
    host = place.connected()
    assert says(host, "echo $((6*7))") == "42"
    host.disconnect()
    host.connect(raise_exceptions=True)
    assert says(host, "id -un") == "root"
    first, second = place.server.pushed
    assert first.line.split()[1] != second.line.split()[1]
    assert (first.instance, first.user) == (place.instance.id, "root")
    assert first.line.split()[0] == "ssh-ed25519"
    assert first.line.split()[2].startswith("voice-deploy-")


def test_the_private_key_is_in_no_file(place: Place) -> None:
    place.connected()
    written = [path for path in place.home.rglob("*") if path.is_file() and path != place.home / "host_key"]
    assert place.known_hosts in written
    assert not [path for path in written if b"PRIVATE KEY" in path.read_bytes()]


def test_finding_16_a_pushed_key_ends_after_60_seconds_and_the_next_connection_has_another(place: Place) -> None:
    host = place.connected()
    assert place.server.active_keys(place.instance.id, "root")
    place.server.later_s = 61
    assert not place.server.active_keys(place.instance.id, "root")
    assert says(host, "echo still here") == "still here"
    host.disconnect()
    host.connect(raise_exceptions=True)
    assert says(host, "echo again") == "again"


def test_a_key_that_expires_on_its_way_is_explained(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """sshd asks 61 s after the push: it must refuse, or it is no test of the 60 s."""
    push = PushedKey._push

    def slowly(self: Any, line: str) -> None:
        push(self, line)
        place.server.later_s += 61

    monkeypatch.setattr(PushedKey, "_push", slowly)
    assert "took no key for root" in refused(place.host())


def test_a_user_whom_the_image_does_not_have(place: Place) -> None:
    said = refused(place.host(ssh_user="nosuchuser"))
    assert "took no key for nosuchuser" in said
    assert "--ssh-user" in said
    assert "package ec2-instance-connect installed" in said


# --- what AWS refuses ---------------------------------------------------------------------------------------------


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """botocore's pauses, which take no time here."""
    seconds: list[float] = []

    class Clock:
        sleep = staticmethod(seconds.append)
        time = staticmethod(time.time)

    monkeypatch.setattr("botocore.endpoint.time", Clock)
    return seconds


def test_throttling_is_waited_out(place: Place, waits: list[float]) -> None:
    place.server.throttles = 3
    assert says(place.connected(), "echo in") == "in"
    assert place.count("SendSSHPublicKey") == 4
    assert all(wait <= most for wait, most in zip(waits, (1, 2, 4), strict=True))
    assert len(set(waits)) == 3


def test_throttling_without_end_is_an_error(place: Place, waits: list[float]) -> None:
    place.server.throttles = 1000
    said = refused(place.host())
    assert f"AWS throttles, still so after {ATTEMPTS} tries" in said
    assert place.count("SendSSHPublicKey") == ATTEMPTS
    assert sum(waits) <= 31


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda place: place.server.denies.add("SendSSHPublicKey"), "ec2-instance-connect:SendSSHPublicKey on i-"),
        (lambda place: setattr(place.instance, "state", "stopping"), "is not running"),
        (lambda place: place.server.instances.clear(), "there is no instance i-"),
    ],
)
def test_what_aws_refuses_is_said_in_words(place: Place, change: Any, said: str) -> None:
    place.connected()  # so that its host key is known
    host = place.host()
    change(place)
    assert said in refused(host)


def test_a_host_that_does_not_listen_gets_no_key(place: Place) -> None:
    place.sshd.stop()
    assert "it is still booting, or sshd does not run" in refused(place.host())
    assert not place.server.pushed


def test_a_closed_port_is_explained(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def silence(*_: Any, **__: Any) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr("socket.create_connection", silence)
    assert "does its security group admit this machine to port" in refused(place.host())


# --- host keys ----------------------------------------------------------------------------------------------------


def test_the_host_key_comes_from_the_console_and_is_remembered(place: Place) -> None:
    place.connected()
    kind, key, _ = place.sshd.public_key.split()
    assert place.known_hosts.read_text() == f"{place.instance.id} {kind} {key}\n"
    assert place.count("GetConsoleOutput") == 1
    place.instance.console = "[    0.000000] another boot, which prints no keys"
    place.connected()
    assert place.known_hosts.read_text().count("\n") == 1
    assert place.count("GetConsoleOutput") == 1


def test_an_instance_that_is_no_nitro_has_a_console_too(place: Place) -> None:
    place.instance.nitro = False
    assert says(place.connected(), "echo in") == "in"


@pytest.mark.parametrize("where", ["console", "remembered", "operator"])
def test_another_host_key_is_refused_before_a_key_is_pushed(place: Place, where: str) -> None:
    other = place.home / "other"
    make_key(other, comment="root@elsewhere")
    public = other.with_suffix(".pub").read_text().strip()
    files = {"remembered": place.known_hosts, "operator": place.home / ".ssh" / "known_hosts"}
    names = {"remembered": place.instance.id, "operator": f"[127.0.0.1]:{place.sshd.port}"}
    if where == "console":
        place.instance.console = console(public)
    else:
        place.instance.console = ""
        files[where].parent.mkdir()
        files[where].write_text(f"{names[where]} {public}\n")
    said = refused(place.host())
    expected = paramiko.Ed25519Key(filename=str(other)).fingerprint
    assert f"says ssh-ed25519 {expected}" in said
    assert "shows the host key ssh-ed25519 SHA256:" in said
    assert not place.server.pushed


def test_an_unknown_host_key_is_refused_with_the_way_to_get_it(place: Place) -> None:
    place.instance.console = ""
    said = refused(place.host())
    assert "cannot be checked, so no connection is made: EC2's console output holds none" in said
    assert f"add to {place.known_hosts}: {place.instance.id} ssh-ed25519 AAAA..." in said
    place.server.denies.add("GetConsoleOutput")
    assert "cannot be read (needs ec2:GetConsoleOutput)" in refused(place.host())
    assert not place.server.pushed
    assert not place.known_hosts.exists()


def test_the_operators_known_hosts_will_do(place: Place) -> None:
    place.instance.console = ""
    file = place.home / ".ssh" / "known_hosts"
    file.parent.mkdir()
    file.write_text(f"[127.0.0.1]:{place.sshd.port} {place.sshd.public_key}\n")
    assert says(place.connected(), "echo in") == "in"
    assert file.read_text().count("\n") == 1


# --- several hosts, files, a reboot, the command line ----------------------------------------------------------------


def test_several_hosts_of_one_name_at_once(place: Place, tmp_path: Path) -> None:
    """They share the port here, so they are one sshd's; their keys are pushed for each."""
    twin = Instance("voice-1", console=place.instance.console, id=place.instance.id[:-1] + "z")
    place.server.instances.append(twin)
    hosts = place.hosts()
    assert sorted(host.name for host in hosts) == sorted(f"voice-1.{each.id}" for each in place.server.instances)
    failures: list[BaseException] = []

    def connect(host: Any) -> None:
        try:
            host.connect(show_errors=False, raise_exceptions=True)
        except ConnectError as error:
            failures.append(error)

    threads = [threading.Thread(target=connect, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(key.instance for key in place.server.pushed) == sorted(each.id for each in place.server.instances)
    assert [twin.id in str(error) for error in failures] == [True]


def assert_files_travel_both_ways(place: Place, host: Any, count: int) -> None:
    """`count` bytes to the host and back."""
    data, back = os.urandom(count), io.BytesIO()
    target = str(place.home / "uploaded")
    assert host.put_file(io.BytesIO(data), target)
    assert host.get_file(target, back)
    assert back.getvalue() == data


def test_files_travel_both_ways(place: Place) -> None:
    host = place.connected()
    assert_files_travel_both_ways(place, host, 300_000)
    with pytest.raises(NotImplementedError, match="rsync needs a key in a file"):
        host.check_can_rsync()


def test_testinfra_goes_the_same_way(place: Place) -> None:
    """As tests/host does."""
    there = handle(place.host())
    assert there.check_output("id -un") == "root"
    assert there.file("/nowhere").exists is False
    assert len(place.server.pushed) == 1


def test_a_run_goes_on_after_a_reboot(place: Place) -> None:
    """As a run does: reconnect until another boot answers. Here no kernel boots, but sshd does."""
    host = place.connected()
    place.sshd.stop()
    waiting = threading.Timer(2.5, place.sshd.start)
    waiting.start()
    place.server.later_s = 61
    assert await_next_boot(host, "the boot before")
    waiting.join()
    assert says(host, "echo back") == "back"
    assert len(place.server.pushed) == 2  # none of them while nobody listened


def test_a_command_after_a_lost_connection_has_a_new_one(place: Place) -> None:
    host = place.connected()
    place.sshd.stop()
    host.connector.client.get_transport().join(5)
    with pytest.raises(ConnectionError, match="it is still booting, or sshd does not run"):
        host.run_shell_command(StringCommand("true"))
    place.sshd.start()
    assert says(host, "echo back") == "back"


@pytest.mark.parametrize("inventory", ["@eic/tag:Role=voice", "inventories/prod.py"])
def test_the_command_line(place: Place, inventory: str) -> None:
    run = command_line(place, inventory, "echo $((6*7))")
    assert run.returncode == 0, run.stderr
    assert "[voice-1] Connected" in run.stderr
    assert "[voice-1] 42" in run.stderr
    assert len(place.server.pushed) == 1


def test_plain_ssh_stays_possible(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICE_CONNECT", "ssh")
    (named,) = run_path(str(ROOT / "inventories" / "prod.py"))["voice"]
    (host,) = place.hosts(named)
    assert host.data.get("ssh_hostname") == "127.0.0.1"
    own, file = place.home / "id_ed25519", place.home / ".ssh" / "known_hosts"
    make_key(own, comment="operator")
    line = own.with_suffix(".pub").read_text().strip()
    place.server.pushed.append(Pushed(place.instance.id, "root", line, place.server.clock()))
    assert "No host key for [127.0.0.1]" in refused(place.hosts(named, ssh_key=str(own))[0])
    file.parent.mkdir()
    file.write_text(f"[127.0.0.1]:{place.sshd.port} {place.sshd.public_key}\n")
    get_host_keys.cache.clear()  # pyinfra reads the file once in a process
    assert handle(place.hosts(named, ssh_key=str(own))[0]).check_output("echo in") == "in"
    assert place.count("SendSSHPublicKey") == 0


# --- the tunnel ---------------------------------------------------------------------------------------------------


def test_a_tunnel_carries_commands_and_files(place: Place, endpoint: Endpoint) -> None:
    host = place.connected()
    assert_files_travel_both_ways(place, host, 3_000_000)
    assert says(host, "echo through") == "through"
    (asked,) = endpoint.opened
    assert asked["privateIpAddress"] == "127.0.0.1"
    assert asked["instanceConnectEndpointId"] == "eice-0123456789abcdef0"
    assert int(asked["maxTunnelDuration"]) == 3600


def test_the_command_line_through_a_tunnel(place: Place, endpoint: Endpoint) -> None:
    """In pyinfra's own process gevent replaces threads and sockets."""
    run = command_line(place, "@eic/tag:Role=voice", "seq 100000 | tail -n 1")
    assert run.returncode == 0, run.stderr
    assert "[voice-1] 100000" in run.stderr
    assert len(endpoint.opened) == 1


def test_the_command_line_says_what_a_cut_means(place: Place, endpoint: Endpoint) -> None:
    begun = place.home / "begun"
    cut_when(begun, endpoint)
    run = command_line(place, "@eic/tag:Role=voice", f"touch {begun}; exec sleep 600")
    assert run.returncode == 1
    assert "was lost (the endpoint ended the tunnel: Maximum tunnel duration reached)" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_cut_between_commands_is_not_noticed(place: Place, endpoint: Endpoint) -> None:
    host = place.connected()
    assert says(host, "echo before") == "before"
    place.server.later_s = 3600
    endpoint.cut()
    host.connector.client.get_transport().join(5)
    assert says(host, "echo after") == "after"
    assert host.put_file(io.BytesIO(b"whole"), str(place.home / "after"))
    assert len(endpoint.opened) == len(place.server.pushed) == 2


def test_a_cut_under_a_command_is_said_clearly(place: Place, endpoint: Endpoint) -> None:
    host = place.connected()
    begun = place.home / "begun"
    cut_when(begun, endpoint)
    with pytest.raises(ConnectionError, match=r"Maximum tunnel duration reached\) while a command .* was under way"):
        host.run_shell_command(StringCommand(f"touch {begun}; exec sleep 600"))
    assert says(host, "echo after") == "after"


def test_a_command_never_begins_in_an_old_tunnel(
    place: Place, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = place.connected()
    says(host, "true")
    assert len(endpoint.opened) == 1
    monkeypatch.setattr(instance_connect, "RENEW_S", -1)
    assert says(host, "echo new") == "new"
    assert len(endpoint.opened) == 2


def test_a_new_connection_keeps_the_lock_of_the_run(
    place: Place, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(beside: str, name: str, *arguments: str) -> str:
        return (
            script_file(beside, name, *arguments)
            .replace("/run/", f"{place.home}/")
            .replace("/var/log/", f"{place.home}/")
        )

    monkeypatch.setattr(lock, "script_file", script)
    host, record = place.connected(), place.home / "voice" / "runs.jsonl"
    lock.hold(host)
    mine = lock.held(host)
    assert mine
    mine.began()
    endpoint.cut()
    host.connector.client.get_transport().join(5)
    assert says(host, "echo after a cut") == "after a cut"
    monkeypatch.setattr(instance_connect, "RENEW_S", -1)
    assert says(host, "echo in a new tunnel") == "in a new tunnel"
    monkeypatch.setattr(instance_connect, "RENEW_S", 1000)
    with pytest.raises(lock.LockedError, match="another run is at work"):
        lock.hold(place.connected())
    mine.ended("done")
    host.connector.client.close()  # as the end of pyinfra's process does
    await_that(lambda: record.exists() and '"outcome": "done"' in record.read_text(), "the run is recorded")
    outcomes = [json.loads(line)["outcome"] for line in record.read_text().splitlines()]
    # The cut is recorded when sshd saw it before the run came again; the new tunnel is none.
    assert outcomes in (["done"], ["cut off", "done"])


def test_a_missing_endpoint_is_explained(place: Place, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    place.server.endpoint = None
    said = refused(place.host())
    assert "there is no EC2 Instance Connect Endpoint in vpc-1 that is ready" in said
    assert "aws ec2 create-instance-connect-endpoint --region eu-central-1 --subnet-id subnet-1" in said
    place.server.denies.add("DescribeInstanceConnectEndpoints")
    assert "needs ec2:DescribeInstanceConnectEndpoints" in refused(place.host())


def test_an_endpoint_that_refuses_or_cannot_reach_the_host_is_explained(
    place: Place, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.sshd.stop()
    assert "Unable to reach the target" in refused(place.host())
    monkeypatch.setattr(tunnel, "_SIGNED_S", -100)
    assert "needs ec2-instance-connect:OpenTunnel): HTTP status 403" in refused(place.host())
    endpoint.stop()
    assert "the endpoint does not answer" in refused(place.host())


# --- tests/host ---------------------------------------------------------------------------------------------------


@pytest.fixture
def operator(tmp_path_factory: pytest.TempPathFactory, place: Place) -> Iterator[Operator]:
    """Who finds an instance through AWS over TLS, which leads to the same sshd."""
    home = tmp_path_factory.mktemp("operator")
    with Amazon(home) as amazon:
        place.instance.id = launch(amazon.client("ec2"), "voice-1")
        sshd = Sshd(home, place.server, place.instance)
        amazon.addresses[place.instance.id] = "127.0.0.1"
        amazon.consoles[place.instance.id] = console(sshd.public_key)
        amazon.on_push = place.admit
        settings = f'site_public_address = "192.0.2.10"\nssh_port = {sshd.port}\n'
        site = {name: value for name, value in place.environment.items() if name.startswith("VOICE_")}
        sshd.start()
        yield Operator(home, settings, {**amazon.environment, **site})
        sshd.stop()


def test_the_hosts_tests_find_and_ask_their_host_through_aws_over_tls(operator: Operator, place: Place) -> None:
    """This machine is no voice host, so they fail; by what it answered, and not on the way to it."""
    tests = documented_command(".venv/bin/python -m pytest tests/host --inventory inventories/prod.py")
    ran = operator.types(f"{tests} --ssh-user root")
    assert "RecursionError" not in ran.stdout, ran.stdout[-6000:]
    assert "MonkeyPatchWarning" not in ran.stdout
    assert re.search(r"^=+ \d+ failed.* in ", ran.stdout, re.MULTILINE), ran.stdout[-6000:] + ran.stderr
    assert "ConnectError" not in ran.stdout
    assert "AssertionError" in ran.stdout
    assert "test_livekits_ports_are_reserved[voice-1]" in ran.stdout
    assert [key.instance for key in place.server.pushed] == [place.instance.id]
