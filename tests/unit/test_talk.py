"""The page to talk from: what its image is made of, and the link that opens it."""

from __future__ import annotations

import functools
import hashlib
import io
import re
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from talk.fetch import fetch
from tests.unit.answering import Host
from voicestack.paths import TOOLS
from voicestack.settings.load import SettingsError, parse
from voicestack.talk import link
from voicestack.talk.link import Invitation, InvitationError, Minted

SCRIPT = Path(link.__file__).with_name("invite.sh")
ROOT = Path(__file__).resolve().parents[2]
PATH = "/livekit-client/-/livekit-client-2.23.0.tgz"


def tarball(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


WHOLE = tarball(**{
    "package/dist/livekit-client.esm.mjs": b"export {};",
    "package/LICENSE": b"Apache",
    "package/package.json": b"{}",
})  # fmt: skip


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A registry with a file of our own: its address, and the file."""
    file = tmp_path / "served" / PATH.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_bytes(WHOLE)
    files = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", file
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_client_and_its_licence_are_taken_and_nothing_else(registry: tuple[str, Path], tmp_path: Path) -> None:
    fetch(registry[0] + PATH, hashlib.sha256(WHOLE).hexdigest(), tmp_path / "client")
    found = {path.name: path.read_bytes() for path in (tmp_path / "client").iterdir()}
    assert found == {"livekit-client.mjs": b"export {};", "livekit-client.LICENSE.txt": b"Apache"}


@pytest.mark.parametrize(
    ("path", "said"), [(PATH, "nothing was unpacked"), ("/selenium", r"404: File not found \(talk_client_url\)")]
)
def test_another_file_is_not_unpacked(registry: tuple[str, Path], tmp_path: Path, path: str, said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        fetch(registry[0] + path, "0" * 64, tmp_path / "client")
    assert not (tmp_path / "client").exists()


def test_a_tarball_without_the_bundle_is_named(registry: tuple[str, Path], tmp_path: Path) -> None:
    other = tarball(**{"package/LICENSE": b"Apache"})
    registry[1].write_bytes(other)
    with pytest.raises(SystemExit, match=r"it has no package/dist/livekit-client\.esm\.mjs"):
        fetch(registry[0] + PATH, hashlib.sha256(other).hexdigest(), tmp_path / "client")


def test_caddys_image_is_the_vendors_unless_the_page_is_on(data: dict[str, Any]) -> None:
    assert parse(data).caddy_image == data["image_caddy"]
    assert parse({**data, "talk_enabled": True}).caddy_image == parse(data).caddy_build.name


@pytest.mark.parametrize("change", [{"image_caddy": "caddy:2.12.0-alpine"}, {"talk_client_sha256": "0" * 64}])
def test_caddys_image_is_named_by_what_goes_in(data: dict[str, Any], change: dict[str, str]) -> None:
    files, _, image = parse(data).caddy_build
    assert {"Dockerfile", "fetch.py", "page/index.html"} <= files.keys()
    assert parse({**data, **change}).caddy_build.name != image
    assert parse({**data, **change}).agent_build.name == parse(data).agent_build.name
    assert parse({**data, "talk_client_url": "https://mirror.example.org/x.tgz"}).caddy_build.name == image


def test_the_page_brings_all_it_refers_to_and_has_nothing_inline(data: dict[str, Any]) -> None:
    """What the policy would block, and what would be a 404."""
    files = {path.removeprefix("page/"): file.content.decode() for path, file in parse(data).caddy_build.files.items()}
    referred = re.findall(r'(?:href|src)="([^"]+)"', files["index.html"])
    for name in (name for name in files if name.endswith(".js")):
        referred += re.findall(r'from "\./([^"]+)"', files[name])
    assert len(referred) > 5
    assert set(referred) <= files.keys() | {"livekit-client.mjs", "livekit-client.LICENSE.txt"}
    assert not re.search(r"<style|style=|<script(?![^>]+src=)|\son[a-z]+=", files["index.html"])
    for text in files.values():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|Storage\b|\beval\(", text)


@pytest.mark.parametrize("minutes", [0, 61])
def test_links_are_short_lived(data: dict[str, Any], minutes: int) -> None:
    with pytest.raises(SettingsError, match="talk_token_minutes"):
        parse({**data, "talk_token_minutes": minutes})


def test_a_link_is_shown_with_its_end(data: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    host: Any = Host(Invitation("a.b.c", expires_at=1_800_000_000))
    link.show(host, parse({**data, "talk_enabled": True, "talk_token_minutes": 7}))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "    https://voice.example.org/talk/#a.b.c\n" in shown.err
    assert "until 08:00 UTC (2027-01-15)" in shown.err
    assert host.asked == [{"minutes": 7}]
    assert "a.b.c" not in repr(host.answer)


def test_no_host_is_asked_while_the_page_is_off(data: dict[str, Any]) -> None:
    host: Any = Host(Invitation("a.b.c"))
    with pytest.raises(InvitationError, match="box: talk_enabled is off"):
        link.show(host, parse(data))
    assert host.asked == []


def invite(programs: Path, docker: str = "") -> Invitation:
    """What the script says where this `docker` is the only program, or none is."""
    if docker:
        (programs / "docker").write_text(f"#!/usr/bin/bash\n{docker}\n")
        (programs / "docker").chmod(0o755)
    for name in ("bash", "sed"):
        (programs / name).symlink_to(f"/usr/bin/{name}")
    (programs / "compose.yml").write_text("x-tools: voice-agent:ours\n")
    words = ["/usr/bin/bash", "-euo", "pipefail", str(SCRIPT), "7", str(programs), TOOLS.read_text()]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={"PATH": str(programs)})
    return Minted().process(done.stdout.splitlines())


@pytest.mark.parametrize(
    ("docker", "problem"),
    [
        ("", "the stack is not on this host"),
        ("exit 1", "Docker does not answer"),
        ("[ $1 = exec ] || exit 0", "Caddy does not run"),
        ('[ "$1" = ps ] && echo id; [ "$1" = ps ]', "Caddy does not serve the page yet"),
        ('case "$*" in *service=caddy) echo id ;; esac', "the agent does not run"),
        ('[ "$1" = ps ] && echo id || [ "$3" = test ]', "the agent makes no token"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, docker: str, problem: str) -> None:
    said = invite(tmp_path, docker).problem
    assert said.startswith(problem)
    assert "; run deploys/voice.py" in said


def test_the_script_has_the_agent_mint_for_so_many_minutes(tmp_path: Path) -> None:
    docker = """[ "$1" = ps ] && echo id && exit
[ "$1" = inspect ] && echo voice-agent:ours && exit
[ "$3" = test ] && exit
[ "$*" = "exec id /opt/venv/bin/python -m voice_agent invite --minutes 7" ] || exit 64
echo '{"token": "a.b.c", "expires_at": 5}'"""
    assert invite(tmp_path, docker) == Invitation("a.b.c", 5)
