"""The same deploy on the Dockers that a host may have beside the pinned one: the newest, and the distribution's.

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
    ("which", "version", "store"),
    [
        pytest.param(newest, "29.8.2", "io.containerd.snapshotter.v1", id="newest"),
        pytest.param(distribution, "26.1.5+dfsg1", "overlay2", id="distribution"),
    ],
)
def test_a_caller_is_answered_and_a_second_run_changes_nothing(
    which: Callable[[], dict[str, object]], version: str, store: str, tmp_path: Path
) -> None:
    host, settings = fresh_host("spare"), which()
    data = [
        word
        for key, value in settings.items()
        for word in ("--data", f"{key}={value if isinstance(value, str) else json.dumps(value)}")
    ]
    run = host.deploy(*data)
    assert run.status == 0, run.printed[-4000:]
    assert healthy(host) == sorted(SERVICES)
    assert host.shell("docker version -f '{{.Server.Version}} {{.Client.Version}}'") == f"{version} {version}"
    assert store in host.shell("docker info -f '{{.Driver}} {{.DriverStatus}}'")
    assert_a_run_changes_nothing(host, *data)
    for program in ("deploys/verify.py", "deploys/audit.py"):
        run = host.deploy(*data, program=program)
        assert run.status == 0, run.printed[-4000:]
    tested = host.host_tests(inventory=inventory_with(tmp_path, **settings))
    assert tested.returncode == 0, tested.stdout[-4000:]
