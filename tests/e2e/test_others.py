"""The same deploy on hosts that are not the usual one: Docker's newest, the distribution's Docker, Debian 12.

`make nightly`: each is a whole deploy of a bare host.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import assert_a_run_changes_nothing, fresh_host, inventory_with
from tests.e2e.test_debian import healthy
from tests.lab import apt
from tests.lab.packages.docker import NEWEST
from voicestack.stack.render import SERVICES

pytestmark = pytest.mark.usefixtures("lab_services")


def newest() -> dict[str, object]:
    return {"docker_repository_url": apt.add_newest_docker(), "docker_versions": NEWEST}


def distribution() -> dict[str, object]:
    return {"docker_source": "distribution"}


@pytest.mark.parametrize(
    ("name", "settings_of", "system", "docker", "store"),
    [
        pytest.param("spare", newest, "13", "29.8.2", "io.containerd.snapshotter.v1", id="docker 29"),
        pytest.param("spare", distribution, "13", "26.1.5+dfsg1", "overlay2", id="the distribution's docker"),
        pytest.param("bookworm", dict, "12", "28.5.2+dfsg4", "overlay2", id="debian 12"),
    ],
)
def test_a_caller_is_answered_and_a_second_run_changes_nothing(
    name: str, settings_of: Callable[[], dict[str, object]], system: str, docker: str, store: str, tmp_path: Path
) -> None:
    host, settings = fresh_host(name), settings_of()
    data = [
        word
        for key, value in settings.items()
        for word in ("--data", f"{key}={value if isinstance(value, str) else json.dumps(value)}")
    ]
    run = host.deploy(*data)
    assert run.status == 0, run.printed[-4000:]
    assert healthy(host) == sorted(SERVICES)
    assert host.shell(". /etc/os-release && echo $VERSION_ID") == system
    assert host.shell("docker version -f '{{.Server.Version}} {{.Client.Version}}'") == f"{docker} {docker}"
    assert store in host.shell("docker info -f '{{.Driver}} {{.DriverStatus}}'")
    assert_a_run_changes_nothing(host, *data)
    for program in ("deploys/verify.py", "deploys/audit.py"):
        run = host.deploy(*data, program=program)
        assert run.status == 0, run.printed[-4000:]
    tested = host.host_tests(inventory=inventory_with(tmp_path, **settings))
    assert tested.returncode == 0, tested.stdout[-4000:]
