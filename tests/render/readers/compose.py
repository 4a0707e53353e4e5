"""compose.yml as Compose understands it, and what of it must hold whatever the settings are."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from pathlib import Path
from typing import Any

from on_host.engine import gpu_start
from tests.lab.vllm import flags
from tests.render.matrix import FACTS, Case
from tests.render.readers import stage
from voicestack.gpu.ram import host_memory
from voicestack.settings import omni
from voicestack.stack import render

Model = dict[str, Any]

KEY = ("APIkey", "c2VjcmV0IHdpdGggJCBhbmQgIyBpbiBpdCwgMzYgYnl0ZXM=")
"""A LiveKit key pair as voicestack/stack/keys.sh makes it on a host."""

_READ_WITHOUT_BEING_TOLD = {
    "caddy": {"/etc/caddy", "/data", "/config"},
    "livekit": {"/etc/livekit"},
    "vllm-voxtral": {"/root/.cache"},
    "vllm-guard": {"/root/.cache"},
}
"""What an image's own command or program opens: Caddy's file and storage, compiled kernels."""

ENGINES = ("vllm-voxtral", "vllm-guard")


def write(case: Case, home: Path) -> None:
    """The stack's files as on a host, with the secrets that are made there."""
    key, secret = KEY
    made = {
        "secrets/livekit.env": f"LIVEKIT_API_KEY={key}\nLIVEKIT_API_SECRET={secret}\n",
        "secrets/bedrock.env": "",
        "secrets/livekit-digest.env": "LIVEKIT_KEYS_DIGEST=0123456789abcdef\n",
        "livekit/keys.yaml": f"{key}: {secret}\n",
    }
    for path, content in {**{path: file.content.decode() for path, file in case.files.items()}, **made}.items():
        file = home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(0o600)


def normalised(home: Path, program: Path) -> Model:
    """What `docker compose config` makes of the directory; the model that `up` works with."""
    done = subprocess.run(
        [program, "--project-directory", home, "-f", home / "compose.yml", "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "USER": "operator"},
    )
    assert done.returncode == 0, done.stderr
    # Compose warns of a variable it found and has no value for: a `$` that was meant as one.
    assert not done.stderr, done.stderr
    return dict(json.loads(done.stdout))


def literal(value: str) -> str:
    """`config` prints a `$` as `$$`, so that its output can be read again."""
    return value.replace("$$", "$")


def check(case: Case, home: Path, program: Path) -> None:
    """Raise AssertionError unless this Compose reads the files as they are meant."""
    write(case, home)
    model = normalised(home, program)
    services: Model = model["services"]
    assert (model["name"], model["x-tools"]) == ("voice", case.settings.tools_build.name)
    assert set(services) == set(render.services(case.settings))
    for name, service in services.items():
        _check_confinement(service)
        _check_mounts(case, home, name, service)
        _check_health(case, name, service)
    for name in ENGINES:
        if name in services:
            _check_engine(case, name, services[name])
    _check_order(case, services)
    _check_network(case, services)
    _check_images(case, services)


def _check_confinement(service: Model) -> None:
    assert service["restart"] == "unless-stopped"
    assert service["pull_policy"] == "never"
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "ipc", "user"} & service.keys()
    assert re.fullmatch(r"[0-9a-f]{16}", service["labels"]["voice.inputs"])
    assert _seconds(service["stop_grace_period"]) >= 30


def _check_mounts(case: Case, home: Path, name: str, service: Model) -> None:
    mounts = {each["target"]: each for each in service["volumes"]}
    weights = case.settings.weights.directory
    assert mounts.keys() >= _READ_WITHOUT_BEING_TOLD.get(name, set())
    for target, mount in mounts.items():
        if mount["type"] == "volume":
            assert mount["source"] in {"gpu-start", "voxtral-cache", "guard-cache"}
            continue
        source = Path(mount["source"])
        written_by_service = source.is_relative_to("/var/lib/voice")
        assert mount.get("read_only", False) is not written_by_service, target
        assert source.is_relative_to(home) or source.is_relative_to(weights) or written_by_service, source
        if source.is_relative_to(weights):
            assert str(source) == target, f"{name}: start.py looks for the weights' origin where they are mounted"
            assert source.name in case.settings.weights.catalog
        if source.is_relative_to(home):
            assert any(path.startswith(f"{source.relative_to(home)}/") for path in case.files), source
    for word in _paths(service):
        assert _readable(case, home, mounts, word), f"{name}: {word} lies in no mount"


def _paths(service: Model) -> list[str]:
    """What a service is told to open: paths in its command line, its health check, its environment."""
    words = [*(service.get("entrypoint") or []), *(service.get("command") or [])]
    words += service["healthcheck"].get("test", [])
    words += [service["environment"].get("VLLM_LOGGING_CONFIG_PATH", "")]
    words += [service["environment"].get("FASTER_WHISPER_MODEL", "")]
    values = [word.rpartition("=")[2] for word in words]
    return [value for value in values if value.startswith("/") and not value.startswith("/opt/venv/")]


def _readable(case: Case, home: Path, mounts: Model, path: str) -> bool:
    for target, mount in mounts.items():
        if path != target and not path.startswith(f"{target}/"):
            continue
        if mount["type"] == "volume" or path == target:
            return True
        below = Path(mount["source"]) / path.removeprefix(f"{target}/")
        return below.is_relative_to(home) and str(below.relative_to(home)) in case.files
    return False


def _check_health(case: Case, name: str, service: Model) -> None:
    health, settings = service["healthcheck"], case.settings
    assert _seconds(health["timeout"]) > 0 < _seconds(health["interval"])
    assert health["retries"] >= 1
    assert _seconds(health["start_period"]) >= 30
    # start.py gives up after its own time; until then Docker must not call a starting service unhealthy.
    ready = {"vllm-voxtral": "voxtral", "vllm-guard": "guard", "voice-agent": "agent"}
    if name in ready:
        assert _seconds(health["start_period"]) >= getattr(settings, ready[name]).start_timeout_s
    engine_asks = ["python3", "/opt/voice/engine/health.py"]
    voxtral, guard = settings.voxtral, settings.guard
    asks = {
        "livekit": ["wget", "-qO-", f"http://127.0.0.1:{settings.livekit.port}/"],
        "caddy": ["wget", "-qO-", f"http://127.0.0.1:{settings.caddy.health_port}/healthz"],
        "vllm-voxtral": [*engine_asks, "voxtral", str(voxtral.port), voxtral.voice],
        "vllm-guard": [*engine_asks, "guard", str(guard.port), guard.model],
    }
    # Without a shell: the images differ in what they have. The agent's image, ours or another one, brings its own.
    assert health.get("test") == (["CMD", *asks[name]] if name in asks else None)


def _check_engine(case: Case, name: str, service: Model) -> None:
    engine = case.settings.voxtral if name == "vllm-voxtral" else case.settings.guard
    memory = case.settings.plan
    assert service["entrypoint"] == ["python3", "/opt/voice/engine/gpu_start.py"]
    start = gpu_start.parse(service["command"])
    assert start.health == f"http://127.0.0.1:{engine.port}/health"
    assert start.timeout == engine.start_timeout_s
    serve = _serve(case, name, start.command)
    assert serve.model == case.settings.model_path(engine.model)
    assert serve.served_model_name == [engine.model]
    assert (serve.host, serve.port) == ("0.0.0.0", engine.port)  # noqa: S104 - the container's own network
    published = [(port["host_ip"], port["published"], port["target"]) for port in service["ports"]]
    assert published == [("127.0.0.1", str(engine.port), engine.port)]
    card = case.settings.guard.placement if name == "vllm-guard" else "gpu0"
    _check_card(service, card)
    assert start.lock == f"/run/gpu-start/{card}.lock"
    assert int(service["shm_size"]) >= 2**30
    if name == "vllm-guard":
        assert memory.guard is not None
        # On a card of its own it need not wait for Voxtral.
        assert start.after == (f"http://vllm-voxtral:{case.settings.voxtral.port}/health" if card == "gpu0" else "")
        limits = (serve.gpu_memory_utilization, serve.max_num_seqs, serve.max_model_len)
        assert limits == (memory.guard.utilisation, case.settings.guard.sequences, case.settings.guard.context)
        assert serve.kv_cache_memory_bytes == memory.guard.need.kv_cache
        assert bool(serve.enforce_eager) is case.settings.guard.eager
        assert not serve.omni


def _serve(case: Case, name: str, words: list[str]) -> argparse.Namespace:
    """The engine's command line, read by vLLM 0.18's parser; omni's own flags must be those of the release."""
    assert words[:2] == ["vllm", "serve"]
    release = omni.release_of(case.settings.image.vllm_voxtral)
    if name == "vllm-voxtral":
        known = (stage.wheel(case) / "vllm_omni/entrypoints/cli/serve.py").read_text()
        own = [word.partition("=")[0] for word in words if re.match(r"--(omni|.*-config|.*-path|.*timeout)", word)]
        assert {"--omni", release.flag} <= set(own)
        assert [flag for flag in own if f'"{flag}"' not in known] == []
        # 0.18 ignores them, later releases give them to every stage.
        limits = ("--gpu-memory", "--max-", "--kv-cache", "--enforce-eager", "--stage-overrides")
        assert [word for word in words if word.startswith(limits)] == []
        words = [word.replace(f"{release.flag}=", "--stage-configs-path=") for word in words]
    try:
        serve = flags.parse(words[1:])
    except SystemExit as refused:
        raise AssertionError(f"{name}: vllm serve refuses {words}") from refused
    if name == "vllm-voxtral":
        assert serve.stage_configs_path == "/etc/voxtral/voxtral_tts.yaml"
        patience = case.settings.voxtral.start_timeout_s
        assert (int(serve.stage_init_timeout), int(serve.init_timeout)) == (patience, patience)
    return serve


def _check_card(service: Model, card: str = "gpu0") -> None:
    [device] = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert device["device_ids"] == [card.removeprefix("gpu")]


def _check_order(case: Case, services: Model) -> None:
    after = {name: set(service.get("depends_on", {})) for name, service in services.items()}
    if case.settings.guard.is_here:
        assert after["vllm-guard"] == ({"vllm-voxtral"} if case.settings.guard.placement == "gpu0" else set())
    assert after["voice-agent"] == {"livekit", *ENGINES} & services.keys()
    for service in services.values():
        for each in service.get("depends_on", {}).values():
            assert each["condition"] == "service_healthy"


def _check_network(case: Case, services: Model) -> None:
    for name, service in services.items():
        assert (service.get("network_mode") == "host") is (name not in ENGINES), name
    agent = services["voice-agent"]
    assert agent["read_only"] is True
    assert agent["cap_drop"] == ["ALL"]
    assert agent["init"] is True
    assert _seconds(agent["stop_grace_period"]) == case.settings.agent.drain_s + 15
    assert agent["tmpfs"] == ["/tmp"]
    assert int(agent["mem_limit"]) == host_memory(case.settings.plan).agent_limit
    if case.settings.plan.whisper_device == "cuda":
        _check_card(agent)
    else:
        assert "deploy" not in agent
    assert services["livekit"]["command"] == ["--config", "/etc/livekit/livekit.yaml"]


def _check_images(case: Case, services: Model) -> None:
    image = case.settings.image
    engines = {"vllm-voxtral": image.vllm_voxtral, "vllm-guard": image.vllm_guard}
    wanted = {"livekit": image.livekit, "caddy": case.settings.caddy_image, **engines}
    for name, service in services.items():
        assert service["image"] == wanted.get(name, FACTS.agent_image)


def _seconds(duration: str) -> float:
    """Go's notation: 1m30s."""
    units = {"h": 3600, "m": 60, "s": 1}
    parts = re.findall(r"([0-9.]+)([hms])", duration)
    assert "".join(number + unit for number, unit in parts) == duration, duration
    return sum(float(number) * units[unit] for number, unit in parts)
