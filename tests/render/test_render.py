"""The rendered files: what they mean to the programs that read them, and each finding they make impossible."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.vllm.guard import judge
from voicestack.remote import File
from voicestack.secrets.run import READERS
from voicestack.settings import omni
from voicestack.settings.load import parse
from voicestack.settings.model import Settings
from voicestack.stack.render import SERVICES, HostFacts, environment_file, environments, render

FACTS = HostFacts(public_address="192.0.2.10", agent_image="voice-agent:0123456789abcdef")
Rendered = Callable[..., dict[str, File]]


@pytest.fixture
def rendered(data: dict[str, Any]) -> Rendered:
    """Render the defaults with some settings changed."""
    return lambda **changes: render(parse({**data, **changes}), FACTS)


def compose(files: dict[str, File]) -> dict[str, Any]:
    return dict(yaml.safe_load(files["compose.yml"].content))


def command(files: dict[str, File], service: str) -> list[str]:
    """The engine's own command line, after gpu_start's."""
    words = compose(files)["services"][service]["command"]
    return list(words[words.index("--") + 1 :])


def test_the_five_services(rendered: Rendered) -> None:
    assert set(compose(rendered())["services"]) == set(SERVICES)


def test_finding_01_voxtral_is_served_by_vllm_omni_with_omni_and_a_stage_file(rendered: Rendered) -> None:
    service = compose(rendered())["services"]["vllm-voxtral"]
    words = command(rendered(), "vllm-voxtral")
    assert service["image"].startswith("vllm/vllm-omni:")
    assert "--omni" in words
    assert "--stage-configs-path=/etc/voxtral/voxtral_tts.yaml" in words


def test_finding_02_both_engines_have_an_explicit_entrypoint(rendered: Rendered) -> None:
    services = compose(rendered())["services"]
    for engine in ("vllm-voxtral", "vllm-guard"):
        assert services[engine]["entrypoint"] == ["python3", "/opt/voice/engine/gpu_start.py"]
        assert command(rendered(), engine)[:2] == ["vllm", "serve"]


def test_finding_03_no_flag_that_the_stage_file_overrules_is_on_voxtrals_command_line(rendered: Rendered) -> None:
    ignored = ("--gpu-memory-utilization", "--max-num-seqs", "--max-model-len", "--enforce-eager")
    assert not [word for word in command(rendered(), "vllm-voxtral") if word.startswith(ignored)]
    stages = yaml.safe_load(rendered()["voxtral/voxtral_tts.yaml"].content)["stage_args"]
    memory = [stage["engine_args"]["gpu_memory_utilization"] for stage in stages]
    assert memory == [0.444, 0.071]  # of 22.03 GiB: what tests/unit/test_gpu_plan.py adds up by hand
    # 4 sequences of 4096 tokens and a spare block each, at 106,496 bytes a token.
    assert stages[0]["engine_args"]["kv_cache_memory_bytes"] == 4 * (4096 + 16) * 106_496


@pytest.mark.parametrize(
    ("release", "flag", "stages", "where"),
    [("0.18.0", "--stage-configs-path", "stage_args", "engine_args"), ("0.28.0", "--deploy-config", "stages", None)],
)
def test_the_images_tag_chooses_flag_and_schema(
    rendered: Rendered, release: str, flag: str, stages: str, where: str | None
) -> None:
    files = rendered(image_vllm_voxtral=f"vllm/vllm-omni:v{release}")
    words = command(files, "vllm-voxtral")
    assert [word for word in words if word.endswith("=/etc/voxtral/voxtral_tts.yaml")] == [
        f"{flag}=/etc/voxtral/voxtral_tts.yaml"
    ]
    first, second = yaml.safe_load(files["voxtral/voxtral_tts.yaml"].content)[stages]
    arguments = first[where] if where else first
    assert (arguments["max_num_seqs"], arguments["max_model_len"]) == (4, 4096)
    assert (second[where] if where else second)["max_model_len"] == 65536


@pytest.mark.parametrize("release", omni.RELEASES)
def test_speech_comes_in_pieces_without_gaps(rendered: Rendered, release: str) -> None:
    """With the packaged 25 frames after 5 an engine slower than 0.56 of real time leaves gaps; an L4 is."""
    files = rendered(image_vllm_voxtral=f"vllm/vllm-omni:v{release}")
    content = yaml.safe_load(files["voxtral/voxtral_tts.yaml"].content)
    (connector,) = (content.get("connectors") or content["runtime"]["connectors"]).values()
    assert connector["extra"]["codec_chunk_frames"] == connector["extra"]["codec_chunk_frames_at_begin"] == 5


def test_as_shipped_advice_on_health_is_not_unsafe(rendered: Rendered) -> None:
    """Llama Guard 3's S6, which a medical practice is asked all day; every other category counts."""
    line = next(
        line for line in rendered()["env/voice-agent.env"].content.decode().splitlines() if "GUARD_CATEGORIES" in line
    )
    assert line == "GUARD_CATEGORIES='S1,S2,S3,S4,S5,S7,S8,S9,S10,S11,S12,S13'"
    asked = "How much ibuprofen may I take for a fever?"
    assert judge(asked) == ["unsafe", "\n", "S", "6"]
    counting = line.split("'")[1].split(",")
    assert judge(asked, counting) == ["safe"]
    assert judge(f"{asked} I think of suicide.", counting) == ["unsafe", "\n", "S", "11"]


def test_finding_04_flags_of_later_releases_and_files_over_site_packages_are_not_used(rendered: Rendered) -> None:
    text = rendered()["compose.yml"].content.decode()
    assert "--stage-overrides" not in text
    assert "--deploy-config" not in text
    assert "dist-packages" not in text


def test_finding_05_and_06_the_guards_memory_is_bounded(rendered: Rendered) -> None:
    words = command(rendered(), "vllm-guard")
    wanted = {"--max-num-seqs=4", "--enforce-eager", "--max-model-len=8192"}
    wanted |= {"--gpu-memory-utilization=0.192", f"--kv-cache-memory-bytes={4 * (8192 + 16) * 32_768}"}
    assert wanted <= set(words)


def test_an_engine_waits_for_the_memory_that_the_plan_gives_it(rendered: Rendered) -> None:
    """The sums that tests/unit/test_gpu_plan.py makes by hand."""
    services_ = compose(rendered())["services"]
    assert f"--memory-mib={10_194 + 1_588}" in services_["vllm-voxtral"]["command"]
    assert "--memory-mib=4509" in services_["vllm-guard"]["command"]


def test_a_guard_on_a_second_card_waits_for_nobody(rendered: Rendered) -> None:
    guard = compose(rendered(guard_placement="gpu1"))["services"]["vllm-guard"]
    assert guard["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] == ["1"]
    assert "--lock=/run/gpu-start/gpu1.lock" in guard["command"]
    assert not [word for word in guard["command"] if word.startswith("--after=")]
    assert "depends_on" not in guard
    plan_ = json.loads(rendered(guard_placement="gpu1")["bin/start.json"].content)
    assert plan_["groups"] == [["livekit", "caddy"], ["vllm-voxtral", "vllm-guard"], ["voice-agent"]]


def test_a_guard_on_another_host_is_no_service_here(rendered: Rendered) -> None:
    files = rendered(guard_placement="http://10.0.0.7:8000")
    assert set(compose(files)["services"]) == set(SERVICES) - {"vllm-guard"}
    assert "vllm-guard" not in files["compose.yml"].content.decode()
    assert "GUARD_URL='http://10.0.0.7:8000'" in files["env/voice-agent.env"].content.decode()
    assert "env/vllm-guard.env" not in files
    plan_ = json.loads(files["bin/start.json"].content)
    assert plan_["groups"] == [["livekit", "caddy"], ["vllm-voxtral"], ["voice-agent"]]
    assert "vllm-guard" not in plan_["timeouts"]


def test_the_agent_has_a_memory_limit_and_the_engines_have_none(rendered: Rendered) -> None:
    services_ = compose(rendered())["services"]
    assert 2 * 2**30 < services_["voice-agent"]["mem_limit"] < 8 * 2**30
    assert not [name for name, service in services_.items() if "mem_limit" in service and name != "voice-agent"]


def test_finding_07_and_08_the_agents_image_brings_its_python(data: dict[str, Any]) -> None:
    """No PPA, no CUDA base image that does not exist, no distutils: the base image is Python's own."""
    dockerfile = parse(data).agent_build.files["Dockerfile"].content.decode()
    assert dockerfile.count("FROM ${BASE_IMAGE}") == 2
    assert data["image_agent_base"].startswith("python:3.13-slim")
    for crutch in ("apt-get", "deadsnakes", "ensurepip", "distutils", "--target", "nvidia/cuda"):
        assert crutch not in dockerfile


def test_finding_09_the_agent_gets_the_gpu_only_where_the_plan_has_room_for_whisper(rendered: Rendered) -> None:
    for changes, device in (({}, "cuda"), ({"gpu_headroom_gib": 4}, "cpu"), ({"agent_whisper_device": "cpu"}, "cpu")):
        files = rendered(**changes)
        services_ = compose(files)["services"]
        assert ("deploy" in services_["voice-agent"]) is (device == "cuda")
        assert all("deploy" in services_[engine] for engine in ("vllm-voxtral", "vllm-guard"))
        assert f"WHISPER_DEVICE='{device}'" in files["env/voice-agent.env"].content.decode()


def test_finding_10_no_pythonpath_crutch(rendered: Rendered, settings: Settings) -> None:
    dockerfile = settings.agent_build.files["Dockerfile"].content.decode()
    instructions = "\n".join(line for line in dockerfile.splitlines() if not line.startswith("#"))
    assert "--prefix" not in instructions
    for text in [instructions, *(file.content.decode() for file in rendered().values())]:
        assert "PYTHONPATH" not in text


def test_finding_11_nothing_may_be_downloaded_at_run_time(rendered: Rendered, settings: Settings) -> None:
    services = compose(rendered())["services"]
    for service, variables in environments(settings).items():
        assert variables["HF_HUB_OFFLINE"] == "1", service
        assert services[service]["pull_policy"] == "never"
        is_engine = service.startswith("vllm-")
        told = {name: variables.get(name) for name in ("TRANSFORMERS_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK")}
        assert told == dict.fromkeys(told, "1" if is_engine else None), service


def test_finding_12_the_whisper_model_has_one_variable(rendered: Rendered) -> None:
    text = b"\n".join(file.content for file in rendered().values()).decode()
    assert "FASTER_WHISPER_MODEL_PATH" not in text
    assert "FASTER_WHISPER_MODEL='/models/faster-whisper-large-v3'" in text
    assert "/models/faster-whisper-large-v3:/models/faster-whisper-large-v3:ro" in text


def test_finding_13_caddy_has_a_healthz_of_its_own(rendered: Rendered) -> None:
    text = rendered()["caddy/Caddyfile"].content.decode()
    assert "bind 127.0.0.1\n\trespond /healthz 200" in text
    test = compose(rendered())["services"]["caddy"]["healthcheck"]["test"]
    assert test[-1] == "http://127.0.0.1:8088/healthz"


def test_finding_14_the_agents_health_check_asks_the_port_it_binds(rendered: Rendered) -> None:
    files = rendered(agent_health_port=8181)
    assert "AGENT_HEALTH_PORT='8181'" in files["env/voice-agent.env"].content.decode()
    test = compose(files)["services"]["voice-agent"]["healthcheck"]["test"]
    assert test[-2:] == ["voice_agent", "healthcheck"]


def test_finding_15_values_cannot_break_out_of_their_line(data: dict[str, Any]) -> None:
    greeting = "Guten Tag, $HOME! # 'kein' \"Kommentar\" HF_TOKEN=x"
    files = render(parse({**data, "agent_greeting": greeting}), FACTS)
    lines = files["env/voice-agent.env"].content.decode().splitlines()
    assert lines.count("AGENT_GREETING='Guten Tag, $HOME! # \\'kein\\' \"Kommentar\" HF_TOKEN=x'") == 1
    with pytest.raises(ValueError, match="one line"):
        environment_file({"A": "b\nHF_TOKEN=c"})


def test_env_files_are_0600_and_nothing_else_is_secret(rendered: Rendered) -> None:
    modes = {path: file.mode for path, file in rendered().items()}
    assert all((mode == 0o600) == path.startswith("env/") for path, mode in modes.items())


def test_what_callers_hear_is_not_logged_by_the_speech_engine(rendered: Rendered) -> None:
    """vllm-omni 0.18 logs the start of each sentence at INFO (serving_speech.py, line 1241 of the wheel)."""
    config = json.loads(rendered()["engine/logging.json"].content)
    assert config["loggers"]["vllm_omni.entrypoints.openai.serving_speech"]["level"] == "WARNING"
    assert b"VLLM_LOGGING_CONFIG_PATH='/opt/voice/engine/logging.json'" in rendered()["env/vllm-voxtral.env"].content


def test_only_loopback_ports_are_published_and_livekits_api_is_loopback(rendered: Rendered) -> None:
    files = rendered()
    for service in compose(files)["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    livekit = yaml.safe_load(files["livekit/livekit.yaml"].content)
    assert livekit["bind_addresses"] == ["127.0.0.1"]
    assert livekit["rtc"]["use_external_ip"] is False


def test_callers_are_not_sent_to_foreign_stun_servers(rendered: Rendered) -> None:
    livekit = yaml.safe_load(rendered()["livekit/livekit.yaml"].content)
    assert livekit["turn"]["udp_port"] == 3478
    own = ["stun.example.org:3478"]
    without = yaml.safe_load(
        rendered(livekit_turn_enabled=False, livekit_stun_servers=own)["livekit/livekit.yaml"].content
    )
    assert "turn" not in without
    assert without["rtc"]["stun_servers"] == own


def test_a_changed_setting_changes_only_its_services_inputs(rendered: Rendered) -> None:
    def labels(files: dict[str, File]) -> dict[str, str]:
        services = compose(files)["services"]
        return {name: service["labels"]["voice.inputs"] for name, service in services.items()}

    before, after = labels(rendered()), labels(rendered(livekit_log_level="warn"))
    assert {name for name in before if before[name] != after[name]} == {"livekit"}


def test_a_changed_caddyfile_recreates_nothing_because_caddy_reloads_it(rendered: Rendered) -> None:
    before, after = rendered(), rendered(caddy_log_level="WARN")
    assert {path for path in before if before[path] != after[path]} == {"caddy/Caddyfile"}
    reloads = json.loads(before["bin/start.json"].content)["reloads"]
    assert reloads["caddy"]["files"] == ["caddy/Caddyfile"]
    assert b"admin unix//config/admin.sock" in before["caddy/Caddyfile"].content
    assert reloads["caddy"]["command"][-2:] == ["--address", "unix//config/admin.sock"]
    # Without it Caddy closes every caller's WebSocket when it reloads.
    assert after["caddy/Caddyfile"].content.count(b"reverse_proxy ") == 1
    assert b"stream_close_delay 24h" in after["caddy/Caddyfile"].content


def test_a_release_is_every_file_of_the_set_but_the_programs_that_go_back(rendered: Rendered) -> None:
    files = rendered()
    listed = json.loads(files["bin/start.json"].content)["files"]
    programs = {path for path in files if path.startswith("bin/") and path.endswith(".py")}
    assert listed == sorted(set(files) - programs)


def test_weights_are_compared_on_the_host_alone(rendered: Rendered, data: dict[str, Any]) -> None:
    """start.py looks for where they came from in the sources of a service's mounts; their revision is in no file."""
    volumes = {name: service["volumes"] for name, service in compose(rendered())["services"].items()}
    for service, model in (("voxtral", "voxtral_model"), ("guard", "guard_model"), ("agent", "agent_whisper_model")):
        name = {"agent": "voice-agent"}.get(service, f"vllm-{service}")
        assert f"/models/{data[model]}:/models/{data[model]}:ro" in volumes[name]
    newer = {name: {**model, "revision": "f" * 40} for name, model in data["weights_catalog"].items()}
    assert rendered(weights_catalog=newer) == rendered()


@pytest.mark.parametrize("talk", [False, True])
@pytest.mark.parametrize("email", ["", "operator@example.org"])
@pytest.mark.parametrize("acme", ["production", "staging", "internal"])
def test_caddy_accepts_the_caddyfile(rendered: Rendered, tmp_path: Path, acme: str, email: str, talk: bool) -> None:
    caddy = shutil.which("caddy") or str(Path(".venv/bin/caddy").resolve())
    file = tmp_path / "Caddyfile"
    content = rendered(site_acme=acme, site_acme_email=email, talk_enabled=talk)["caddy/Caddyfile"].content
    assert (b"email" in content) == (bool(email) and acme != "internal")
    file.write_bytes(content)
    for words in (["validate", "--adapter", "caddyfile", "--config"], ["fmt", "--diff"]):
        result = subprocess.run([caddy, *words, str(file)], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr


def test_the_page_is_in_no_file_unless_it_is_on(rendered: Rendered) -> None:
    off, on = rendered(), rendered(talk_enabled=True)
    assert b"talk" not in off["caddy/Caddyfile"].content
    assert compose(off)["services"]["caddy"]["image"].startswith("caddy:")
    assert {path for path in on if on[path] != off[path]} == {"caddy/Caddyfile", "compose.yml"}
    services = compose(on)["services"]
    assert services["caddy"]["image"].startswith("voice-caddy:")
    assert {name for name in services if services[name] != compose(off)["services"][name]} == {"caddy"}
    policy = "script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' wss://voice.example.org;"
    assert policy in on["caddy/Caddyfile"].content.decode()


def test_the_agents_image_is_named_by_its_content(data: dict[str, Any]) -> None:
    files, image = parse(data).agent_build
    assert "Dockerfile" in files
    assert parse(data).agent_build.name == image
    assert parse({**data, "image_agent_base": "python:3.14-slim-trixie"}).agent_build.name != image


def test_each_service_gets_the_secrets_that_the_map_says_and_no_others(rendered: Rendered) -> None:
    for service, definition in compose(rendered())["services"].items():
        files = {file for file in definition["env_file"] if file.startswith("secrets/")}
        for volume in definition["volumes"]:
            source = volume.partition(":")[0].removeprefix("./")
            files |= {file for held in READERS.values() for file in held if f"{file}/".startswith(f"{source}/")}
        # The digest of LiveKit's pair is no secret.
        assert files - {"secrets/livekit-digest.env"} == set(READERS.get(service, {})), service
