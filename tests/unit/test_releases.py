"""Releases: what is kept, what comes back, and what start.py does when a new one does not become healthy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from on_host import docker
from on_host.start import compare, releases, start
from on_host.start.releases import NoReleaseError, Release, choose
from on_host.start.waiting import NotHealthyError
from voicestack.stack import rollback

FILES = ["bin/start.json", "caddy/Caddyfile", "compose.yml", "env/caddy.env"]
IMAGES = {"caddy": ("caddy:2", "sha256:good")}


def write(home: Path, text: str, files: list[str] = FILES) -> None:
    for path in files:
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text)
        (home / path).chmod(0o600 if path.startswith("env/") else 0o644)
    reloads = {"caddy": {"files": ["caddy/Caddyfile"]}}
    plan = {"files": files, "releases_keep": 2, "reloads": reloads, "text": text}
    (home / "bin" / "start.json").write_text(json.dumps(plan))


def tree(home: Path) -> dict[str, tuple[str, int]]:
    files = [file for file in home.rglob("*") if file.is_file() and "releases" not in file.relative_to(home).parts]
    return {file.relative_to(home).as_posix(): (file.read_text(), file.stat().st_mode & 0o777) for file in files}


def release(number: int, *, healthy: bool = True) -> Release:
    return Release(number, "2026-11-23T10:00:00+00:00", healthy, f"d{number}", {})


def test_a_release_is_made_when_something_changed_and_only_then(tmp_path: Path) -> None:
    write(tmp_path, "one")
    first = releases.keep(tmp_path, FILES, IMAGES)
    assert (first.number, first.healthy) == (1, False)
    assert releases.keep(tmp_path, FILES, IMAGES) == first
    assert releases.keep(tmp_path, FILES, {"caddy": ("caddy:2", "sha256:other")}).number == 2
    (tmp_path / "env" / "caddy.env").chmod(0o644)
    assert releases.keep(tmp_path, FILES, IMAGES).number == 3
    write(tmp_path, "two")
    assert releases.keep(tmp_path, FILES, IMAGES).number == 4
    write(tmp_path, "one")
    assert releases.keep(tmp_path, FILES, IMAGES) == first


def test_files_that_left_the_set_are_removed_once_the_new_one_is_healthy_and_edited_ones_stay(tmp_path: Path) -> None:
    old = [*FILES, "env/vllm-guard.env", "guard/edited"]
    write(tmp_path, "one", old)
    before = releases.keep(tmp_path, old, IMAGES)
    (tmp_path / "guard" / "edited").write_text("by hand")
    write(tmp_path, "two")
    assert releases.drop_what_left(tmp_path, before) == ["env/vllm-guard.env"]
    assert not (tmp_path / "env" / "vllm-guard.env").exists()
    assert (tmp_path / "guard" / "edited").read_text() == "by hand"
    assert releases.drop_what_left(tmp_path, before) == []
    releases.put_back(tmp_path, before)
    assert (tmp_path / "env" / "vllm-guard.env").read_text() == "one"


def test_a_release_is_roots_alone_and_comes_back_whole(tmp_path: Path) -> None:
    write(tmp_path, "one")
    before = tree(tmp_path)
    kept = releases.keep(tmp_path, FILES, IMAGES)
    assert (tmp_path / "releases").stat().st_mode & 0o777 == 0o700
    write(tmp_path, "two", [*FILES, "env/another.env"])
    (tmp_path / "env" / "caddy.env").chmod(0o644)
    (tmp_path / "bin" / "start.py").write_text("the newest program")
    releases.put_back(tmp_path, kept)
    assert tree(tmp_path) == {**before, "bin/start.py": ("the newest program", 0o644)}
    assert releases.keep(tmp_path, FILES, IMAGES) == kept


def test_the_one_in_use_is_the_one_that_was_last_healthy(tmp_path: Path) -> None:
    assert releases.current(tmp_path) is None
    for text in ("one", "two"):
        write(tmp_path, text)
        releases.accept(tmp_path, releases.keep(tmp_path, FILES, IMAGES), 5)
    write(tmp_path, "three")
    releases.keep(tmp_path, FILES, IMAGES)
    in_use = releases.current(tmp_path)
    assert in_use is not None
    assert (in_use.number, in_use.healthy) == (2, True)
    assert [each.healthy for each in releases.held(tmp_path)] == [True, True, False]


def test_a_torn_release_is_none_and_keeps_its_number(tmp_path: Path) -> None:
    write(tmp_path, "one")
    releases.accept(tmp_path, releases.keep(tmp_path, FILES, IMAGES), 5)
    (tmp_path / "releases" / "1" / "release.json").write_text("{")
    assert releases.held(tmp_path) == []
    assert releases.current(tmp_path) is None
    assert releases.keep(tmp_path, FILES, IMAGES).number == 2


def test_so_many_healthy_ones_are_kept_and_never_fewer_for_failed_ones(tmp_path: Path) -> None:
    every = [release(1), release(2), release(3, healthy=False), release(4), release(5, healthy=False), release(6)]
    assert releases.surplus(every, 6, 2) == [1, 2]
    assert releases.surplus(every, 1, 2) == [2]
    assert releases.surplus(every, 6, 1) == [1, 2, 4, 3]


def test_the_release_to_go_back_to() -> None:
    every = [release(1), release(2, healthy=False), release(3), release(4)]
    assert choose(every, every[3], 0).number == 3
    assert choose(every, every[2], 0).number == 1
    assert choose(every, every[2], 4).number == 4


@pytest.mark.parametrize(
    ("wanted", "said"),
    [(0, "none of them is before the one in use"), (2, "release 2 is not one of them"), (9, "release 9 is not one")],
)
def test_an_unknown_or_unhealthy_release_is_refused_with_a_list(wanted: int, said: str) -> None:
    every = [release(1), release(2, healthy=False)]
    with pytest.raises(NoReleaseError) as caught:
        choose(every, every[0], wanted)
    assert said in str(caught.value)
    assert "the host has 1 (2026-11-23T10:00:00+00:00, in use), 2 (2026-11-23T10:00:00+00:00, never h" in str(
        caught.value
    )
    with pytest.raises(NoReleaseError, match="the host has none"):
        choose([], None, wanted)


class Host:
    """A home whose services are healthy with every text but those in `broken`; `ids` are the images' names."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.broken, self.ids = home, {"broken"}, {"caddy:2": "sha256:good"}
        self.tagged: list[tuple[str, ...]] = []
        monkeypatch.setattr(start, "HOME", home)
        monkeypatch.setattr(start, "bring_up", self.bring_up)
        monkeypatch.setattr(docker, "image_id", self.image_id)
        monkeypatch.setattr(docker, "run", self.tag)
        monkeypatch.setattr(start, "plan", lambda: json.loads((home / "bin" / "start.json").read_text()))
        monkeypatch.setattr(compare, "definitions", lambda: {"caddy": {"image": "caddy:2"}})
        self.loaded: set[str] = set()
        monkeypatch.setattr(compare, "loaded", self.loaded.intersection)

    def place(self, text: str) -> int:
        write(self.home, text)
        return int(start.run())

    def bring_up(self) -> Iterator[str]:
        text = (self.home / "compose.yml").read_text()
        if text in self.broken or self.ids["caddy:2"] == "sha256:bad":
            raise NotHealthyError("caddy", f"caddy ended 3 times with {text}.")
        yield "caddy"

    def image_id(self, image: str) -> str:
        return self.ids.get(image, image if image in ("sha256:good", "sha256:bad") else "")

    def tag(self, *words: str) -> None:
        self.tagged.append(words)
        self.ids[words[2]] = words[1]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_a_release_that_does_not_become_healthy_gives_way_to_the_one_before(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    assert host.place("one") == 0
    before = tree(host.home)
    assert host.place("broken") == 1
    assert tree(host.home) == before
    said = capsys.readouterr()
    assert "caddy ended 3 times with broken." in said.err
    assert "release 2 did not become healthy because of caddy; release 1 is back, healthy after 0 s" in said.err
    assert "caddy: back on release 1 0 s after the failure" in said.out
    assert host.place("two") == 0
    assert [(each.number, each.healthy) for each in releases.held(host.home)] == [(1, True), (2, False), (3, True)]


def test_both_failures_are_shown_when_the_way_back_fails(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.place("one")
    host.broken = {"broken", "one"}
    assert host.place("broken") == 1
    said = capsys.readouterr().err
    assert "caddy ended 3 times with broken." in said
    assert "caddy ended 3 times with one." in said
    assert "release 1 was put back, but is not healthy either: caddy" in said
    assert (host.home / "compose.yml").read_text() == "one"


def test_a_host_that_never_was_healthy_fails_as_it_is(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert host.place("broken") == 1
    assert "no release was healthy here before: nothing is put back" in capsys.readouterr().err
    assert (host.home / "compose.yml").read_text() == "broken"


def test_a_failure_of_the_release_in_use_has_nothing_to_go_back_to(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.place("one")
    host.place("two")
    host.broken = {"two"}
    assert host.place("two") == 1
    assert "because of caddy; it is the one in use: nothing is put back" in capsys.readouterr().err
    assert [each.number for each in releases.held(host.home)] == [1, 2]
    assert (host.home / "compose.yml").read_text() == "two"


def test_an_image_that_changed_under_its_name_is_put_back_too(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.place("one")
    host.ids["caddy:2"] = "sha256:bad"
    assert start.run() == 1
    assert host.tagged == [("tag", "sha256:good", "caddy:2")]
    assert "release 1 is back" in capsys.readouterr().err


def test_a_release_whose_image_is_gone_is_not_gone_back_to(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.place("one")
    host.place("two")
    before = tree(host.home)
    host.ids.clear()
    file = host.home / "releases" / "1" / "release.json"
    file.write_text(file.read_text().replace("sha256:good", "sha256:deleted"))
    assert start.go_back(1) == 1
    assert "release 1 needs caddy:2 as it was, and Docker has no image with that id any more" in capsys.readouterr().err
    assert tree(host.home) == before


def test_a_way_back_whose_image_is_gone_says_that_nothing_was_put_back(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """When Docker changed its image store, all ids are other ones."""
    host.place("one")
    file = host.home / "releases" / "1" / "release.json"
    file.write_text(file.read_text().replace("sha256:good", "sha256:in-the-other-store"))
    assert host.place("broken") == 1
    said = capsys.readouterr().err
    assert "release 1 cannot be put back: release 1 needs caddy:2 as it was" in said
    assert "another store" in said
    assert "was put back" not in said


def test_by_hand_to_the_one_before_and_forward_again(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.place("one")
    host.place("two")
    assert start.go_back(0) == 0
    assert (host.home / "compose.yml").read_text() == "one"
    assert start.listing()["current"] == 1
    assert host.place("two") == 0
    assert "release 2 again, in the place of release 1" in capsys.readouterr().out
    assert start.listing()["current"] == 2
    assert start.go_back(7) == 1


def dates(home: Path) -> dict[str, bool]:
    """File -> whether it was changed in the last years; rendered ones are of 1970."""
    return {path: (home / path).stat().st_mtime > 1 for path in FILES if path != "bin/start.json"}


def as_rendered(home: Path) -> None:
    for path in FILES:
        os.utime(home / path, (0, 0))


def test_what_hands_changed_and_a_service_has_read_comes_back_with_a_new_date(host: Host) -> None:
    """To Compose nothing changed: by its content the service would go on with the edit."""
    write(host.home, "one")
    as_rendered(host.home)
    assert start.run() == 0
    for path in ("compose.yml", "env/caddy.env"):
        (host.home / path).write_text("an edit")
        os.utime(host.home / path, (0, 0))
    host.loaded.update(["compose.yml", "caddy/Caddyfile"])
    assert start.go_back(1) == 0
    assert dates(host.home) == {"caddy/Caddyfile": False, "compose.yml": True, "env/caddy.env": False}
    assert (host.home / "compose.yml").read_text() == "one"


def test_what_a_service_reloads_is_read_again_on_the_way_back(host: Host) -> None:
    """A reload may have gone through before the service turned out to be unhealthy with it."""
    for text, status in (("one", 0), ("broken", 1)):
        write(host.home, text)
        as_rendered(host.home)
        assert start.run() == status
    assert dates(host.home) == {"caddy/Caddyfile": True, "compose.yml": False, "env/caddy.env": False}


def test_a_host_without_the_stack_has_no_releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback, "STARTER", str(tmp_path / "bin" / "start.py"))
    fact = rollback.Releases()
    asked = subprocess.run(fact.command(), shell=True, capture_output=True, check=False)  # noqa: S602
    assert (asked.returncode, asked.stdout) == (0, b"")
    assert fact.default() == rollback.Kept()


def test_what_is_not_kept_yet_is_a_difference(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose services are as wanted may not have its release yet: a run that was broken off, an older tool."""
    monkeypatch.setattr(compare, "wanted", lambda *_: {})
    monkeypatch.setattr(compare, "differences", lambda _: {})
    write(host.home, "one")
    (host.home / "bin" / "start.json").write_text(json.dumps({"files": FILES, "releases_keep": 2, "reloads": {}}))
    assert start.check() == start.NOT_KEPT
    assert start.run() == 0
    assert start.check() == {}
    host.ids["caddy:2"] = "sha256:other"
    assert start.check() == start.NOT_KEPT


def test_a_broken_line_to_the_reader_ends_nothing() -> None:
    """The ssh connection may go while a service is awaited: the way back must not depend on it."""
    program = (
        "import os, sys; from on_host.start import waiting; waiting.say('one'); "
        "waiting.say('two', error=True); os.system('echo three'); sys.exit(7)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait() == 7
