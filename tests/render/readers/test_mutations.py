"""Whether the readers would notice: values that are wrong one at a time, and every line that could be missing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.lab import readers
from tests.render import matrix
from tests.render.matrix import Case, changed_templates
from tests.render.readers import agent, caddy, compose, livekit, stage
from tests.render.readers.network import own_network
from voicestack.stack import render

Reader = Callable[[Case, Path], None]


def _compose(version: str) -> Reader:
    return lambda case, home: compose.check(case, home, readers.compose_versions()[version])


def _agent(case: Case, home: Path) -> None:
    agent.check(case, home, readers.compose_versions()["2.26"])


def _in_own_network(check: Reader) -> Reader:
    def checked(case: Case, home: Path) -> None:
        with own_network():
            check(case, home)

    return checked


READERS: dict[str, dict[str, Reader]] = {
    "compose.yml.j2": {
        "Compose 2.26": _compose("2.26"),
        f"Compose {readers.COMPOSE_VERSION}": _compose(readers.COMPOSE_VERSION),
        "the agent's Settings": _agent,
    },
    "Caddyfile.j2": {"caddy validate, fmt, adapt": caddy.check_file, "caddy run": _in_own_network(caddy.check_running)},
    "livekit.yaml.j2": {
        "livekit-server ports": livekit.check_ports,
        "livekit-server": _in_own_network(livekit.check_running),
    },
    "voxtral_tts.yaml.j2": {
        "the file in vllm-omni's wheel": lambda case, _: stage.check_file(case),
        "vllm-omni's loader": stage.check_loaded,
    },
}
"""Template -> who reads what it renders."""

OLD, NEW = "vllm/vllm-omni:v0.18.0", "vllm/vllm-omni:v0.30.0"


class Mutation(NamedTuple):
    """One value of a template, made wrong; `image` chooses the schema."""

    what: str
    right: str
    wrong: str
    image: str = OLD


MUTATIONS = {
    "compose.yml.j2": [
        Mutation("a number for a list", 'device_ids: ["0"]', "device_ids: 0"),
        Mutation("a key twice", "    init: true\n", "    init: true\n    init: true\n"),
        Mutation("a word for a truth value", "read_only: true", 'read_only: "ja"'),
        Mutation("a capability no driver has", "capabilities: [gpu]", "capabilities: [gpus]"),
        Mutation("a port for the whole world", '"127.0.0.1:{{ voxtral.port }}:', '"{{ voxtral.port }}:'),
        Mutation("a variable for Compose", "name={{ voxtral.model }}", "name=${MODEL}"),
        Mutation("a health check in a shell", '["CMD", "python3', '["CMD-SHELL", "python3'),
        Mutation("another port's health", 'health["livekit"]', 'health["caddy"]'),
        Mutation("a mount beside the path", "./voxtral:/etc/voxtral:ro", "./voxtral:/etc/voxtrals:ro"),
        Mutation(
            "the secrets forgotten",
            'voice-agent.env, {{ secret_files["voice-agent"] | join(", ") }}]',
            "voice-agent.env]",
        ),
        Mutation("the old flag", "{{ omni.flag }}=", "--stage-configs-path=", NEW),
        Mutation("the new flag", "{{ omni.flag }}=", "--deploy-config="),
        Mutation("a flag for every stage", "- --omni\n", "- --omni\n      - --max-num-seqs=4\n", NEW),
    ],
    "Caddyfile.j2": [
        Mutation("a directive misspelt", "else %}\n\treverse_proxy", "else %}\n\treverse_proxi"),
        Mutation("the admin API on a port", "unix//config/admin.sock|0600", "127.0.0.1:2019"),
        Mutation("the health check for everyone", "\tbind 127.0.0.1\n", ""),
        Mutation("HTTP/3", "protocols h1 h2", "protocols h1 h2 h3"),
        Mutation("another upstream", "\n\treverse_proxy 127.0.0.1:{{ livekit.port }}", "\n\treverse_proxy 127.0.0.1:1"),
        Mutation("spaces for tabs", "\tabort", "    abort"),
    ],
    "livekit.yaml.j2": [
        Mutation("a port in quotes", "{{ livekit.tcp_port }}", '"{{ livekit.tcp_port }}"'),
        Mutation("a key misspelt", "node_ip:", "node_adress:"),
        Mutation("the API for everyone", '["127.0.0.1"]', '["0.0.0.0"]'),
        Mutation("a range of one end", "{{ livekit.rtc_port_end }}", "{{ livekit.rtc_port_start }}"),
        Mutation("a stranger's STUN", "use_external_ip: false", "use_external_ip: true"),
    ],
    "voxtral_tts.yaml.j2": [
        Mutation("an unknown argument", "\n    kv_cache_memory_bytes:", "\n    kv_cache_bytes:", NEW),
        Mutation("the other schema", "\nstages:", "\nstage_args:", NEW),
        Mutation("the codec's context", "      max_model_len: 65536", "      max_model_len: 4096"),
    ],
}


def complaint(make: Callable[[], Case], template: str, directory: Path) -> str | None:
    """Who refuses the case first, and why; None if every reader of the template takes it.

    A KeyError and the like are complaints too: what a check looks for in a reader's answer was not there. SystemExit
    is how a command line is refused.
    """
    for number, (name, check) in enumerate(READERS[template].items()):
        place = directory / str(number)
        place.mkdir()
        try:
            check(make(), place)
        except (Exception, SystemExit) as refused:
            return f"{name}: {type(refused).__name__}: {refused}"
    return None


def _each_mutation() -> list[Any]:
    return [
        pytest.param(template, mutation, id=f"{template}: {mutation.what}")
        for template, mutations in MUTATIONS.items()
        for mutation in mutations
    ]


@pytest.mark.parametrize(("template", "mutation"), _each_mutation())
def test_a_wrong_value_is_noticed(template: str, mutation: Mutation, tmp_path: Path) -> None:
    text = (render.TEMPLATES / template).read_text()
    assert mutation.right in text
    wrong = text.replace(mutation.right, mutation.wrong, 1)
    with changed_templates(tmp_path, template, wrong):
        noticed = complaint(lambda: _case(image_vllm_voxtral=mutation.image), template, tmp_path)
    assert noticed
    print(f"{mutation.what}: {noticed[:300]}")


def _case(**changes: Any) -> matrix.Case:
    """Nothing is as its reader would have it without being told."""
    ports = {"livekit_port": 7890, "livekit_tcp_port": 7891, "guard_port": 9000, "voxtral_port": 9001}
    stun = {"livekit_stun_servers": ["stun.example.org:3478"]}
    return matrix.case(**{**ports, **stun, "gpu_card": "46068", **changes})


VARIANTS: dict[str, list[dict[str, Any]]] = {
    "compose.yml.j2": [{}, {"guard_placement": "gpu1"}],
    "Caddyfile.j2": [
        *({"site_acme": acme, "caddy_log_level": "WARN"} for acme in ("internal", "staging", "production")),
        {"site_acme": "internal", "talk_enabled": True},
        {"site_acme_email": "operator@example.org"},
    ],
    "livekit.yaml.j2": [{}, {"livekit_log_level": "error"}],
    "voxtral_tts.yaml.j2": [{"image_vllm_voxtral": f"vllm/vllm-omni:v{each}"} for each in ("0.18.0", "0.30.0")],
}
"""Settings under which every line of a template is rendered at least once."""

DISPENSABLE = {
    "use_external_ip: false": "LiveKit's own default; written down because the opposite asks Google's STUN servers",
}
"""Lines of which nothing depends on being there, and why they are."""


def _each_line() -> list[Any]:
    """Each line of each template that is neither empty, a comment nor Jinja's."""
    return [
        pytest.param(template, number, id=f"{template}:{number + 1} {line.strip()[:40]}")
        for template in READERS
        for number, line in enumerate((render.TEMPLATES / template).read_text().splitlines())
        if line.strip() and not line.strip().startswith(("#", "{%"))
    ]


@pytest.mark.parametrize(("template", "number"), _each_line())
def test_a_missing_line_is_noticed(template: str, number: int, tmp_path: Path) -> None:
    lines = (render.TEMPLATES / template).read_text().splitlines(keepends=True)
    line = lines.pop(number)
    with changed_templates(tmp_path, template, "".join(lines)):
        noticed = any(_complaints(template, tmp_path))
    assert noticed is (line.strip() not in DISPENSABLE)


def _complaints(template: str, directory: Path) -> Iterator[str | None]:
    for number, variant in enumerate(VARIANTS[template]):
        place = directory / f"variant {number}"
        place.mkdir()
        yield complaint(functools.partial(_case, **variant), template, place)


@pytest.mark.parametrize("template", READERS)
def test_nobody_complains_of_the_templates_as_they_are(template: str, tmp_path: Path) -> None:
    assert set(_complaints(template, tmp_path)) == {None}


def test_an_env_file_without_quotes_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(render, "_quoted", lambda value: value)
    assert complaint(lambda: _case(agent_greeting=matrix.WORDS), "compose.yml.j2", tmp_path)
