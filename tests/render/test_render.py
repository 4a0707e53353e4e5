"""The rendered files: what they mean to the programs that read them, and each finding they make impossible.

`readers/` has them read by those programs; here is what a second can tell.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.lab.vllm.guard import judge
from tests.render import matrix
from voicestack.remote import File
from voicestack.settings.model import Settings
from voicestack.stack.render import MOUNTED, environment_file

ENGINES = {"vllm-voxtral", "vllm-guard"}


def rendered(**changes: Any) -> dict[str, File]:
    """The files of the defaults with some settings changed."""
    return matrix.case(**changes).files


def services(**changes: Any) -> dict[str, dict[str, Any]]:
    """Those of compose.yml."""
    return dict(yaml.safe_load(rendered(**changes)["compose.yml"].content)["services"])


def command(service: str) -> list[str]:
    """The engine's own command line, after gpu_start's."""
    words = services()[service]["command"]
    return list(words[words.index("--") + 1 :])


def environment(service: str, **changes: Any) -> dict[str, str]:
    lines = rendered(**changes)[f"env/{service}.env"].content.decode().splitlines()
    return {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}


@pytest.mark.parametrize(
    ("placement", "engines"),
    [
        ("gpu0", [["vllm-voxtral"], ["vllm-guard"]]),
        ("gpu1", [["vllm-voxtral", "vllm-guard"]]),
        ("http://10.0.0.7:8000", [["vllm-voxtral"]]),
    ],
)
def test_each_service_has_its_place_in_the_start_and_engines_of_one_card_come_one_after_the_other(
    placement: str, engines: list[list[str]]
) -> None:
    files = rendered(guard_placement=placement)
    plan = json.loads(files["bin/start.json"].content)
    assert plan["groups"] == [["livekit", "caddy"], *engines, ["voice-agent"]]
    here = {service for group in plan["groups"] for service in group}
    assert here == set(plan["timeouts"]) == set(services(guard_placement=placement))
    assert {f"env/{service}.env" for service in here} == {path for path in files if path.startswith("env/")}


def test_finding_01_voxtral_is_served_by_vllm_omni_with_omni_and_a_stage_file() -> None:
    assert services()["vllm-voxtral"]["image"].startswith("vllm/vllm-omni:")
    assert {"--omni", "--stage-configs-path=/etc/voxtral/voxtral_tts.yaml"} <= set(command("vllm-voxtral"))


def test_finding_02_both_engines_have_an_explicit_entrypoint() -> None:
    for engine in ENGINES:
        assert services()[engine]["entrypoint"] == ["python3", "/opt/voice/engine/gpu_start.py"]
        assert command(engine)[:2] == ["vllm", "serve"]


def test_finding_03_no_flag_that_the_stage_file_overrules_is_on_voxtrals_command_line() -> None:
    ignored = ("--gpu-memory-utilization", "--max-num-seqs", "--max-model-len", "--enforce-eager")
    assert not [word for word in command("vllm-voxtral") if word.startswith(ignored)]
    first, second = yaml.safe_load(rendered()["voxtral/voxtral_tts.yaml"].content)["stage_args"]
    # Of 22.03 GiB: what tests/unit/test_gpu_plan.py adds up by hand.
    assert first["engine_args"]["gpu_memory_utilization"] == 0.444
    assert second["engine_args"]["gpu_memory_utilization"] == 0.071
    # 4 sequences of 4096 tokens and a spare block each, at 106,496 bytes a token.
    assert first["engine_args"]["kv_cache_memory_bytes"] == 4 * (4096 + 16) * 106_496


def test_as_shipped_advice_on_health_is_not_unsafe() -> None:
    """Llama Guard 3's S6, which a medical practice is asked all day; every other category counts."""
    counting = environment("voice-agent")["GUARD_CATEGORIES"].split(",")
    assert counting == [f"S{number}" for number in range(1, 14) if number != 6]
    asked = "How much ibuprofen may I take for a fever?"
    assert judge(asked) == ["unsafe", "\n", "S", "6"]
    assert judge(asked, counting) == ["safe"]
    assert judge(f"{asked} I think of suicide.", counting) == ["unsafe", "\n", "S", "11"]


def test_finding_04_flags_of_later_releases_and_files_over_site_packages_are_not_used() -> None:
    text = rendered()["compose.yml"].content.decode()
    assert [word for word in ("--stage-overrides", "--deploy-config", "dist-packages") if word in text] == []


def test_finding_05_and_06_the_guards_memory_is_bounded() -> None:
    wanted = {"--max-num-seqs=4", "--enforce-eager", "--max-model-len=8192"}
    wanted |= {"--gpu-memory-utilization=0.192", f"--kv-cache-memory-bytes={4 * (8192 + 16) * 32_768}"}
    assert wanted <= set(command("vllm-guard"))


def test_the_agent_alone_has_a_memory_limit() -> None:
    limits = {name: service["mem_limit"] for name, service in services().items() if "mem_limit" in service}
    assert limits.keys() == {"voice-agent"}
    assert 2 * 2**30 < limits["voice-agent"] < 8 * 2**30


def test_finding_07_and_08_the_agents_image_brings_its_python(settings: Settings) -> None:
    """No PPA, no CUDA base image that does not exist, no distutils: the base image is Python's own."""
    dockerfile = settings.agent_build.files["Dockerfile"].content.decode()
    assert dockerfile.count("FROM ${BASE_IMAGE}") == 2
    assert settings.image.agent_base.startswith("python:3.13-slim")
    crutches = ("apt-get", "deadsnakes", "ensurepip", "distutils", "--target", "nvidia/cuda")
    assert [crutch for crutch in crutches if crutch in dockerfile] == []


@pytest.mark.parametrize(
    ("changes", "device"),
    [({}, "cuda"), ({"gpu_headroom_gib": 4}, "cpu"), ({"agent_whisper_device": "cpu"}, "cpu")],
    ids=["room", "no room", "CPU"],
)
def test_finding_09_the_agent_gets_the_gpu_only_where_the_plan_has_room_for_whisper(
    changes: dict[str, Any], device: str
) -> None:
    with_card = {name for name, service in services(**changes).items() if "deploy" in service}
    assert with_card == ENGINES | ({"voice-agent"} if device == "cuda" else set())
    assert environment("voice-agent", **changes)["WHISPER_DEVICE"] == device


def test_finding_10_no_pythonpath_crutch(settings: Settings) -> None:
    dockerfile = settings.agent_build.files["Dockerfile"].content.decode()
    instructions = "\n".join(line for line in dockerfile.splitlines() if not line.startswith("#"))
    assert "--prefix" not in instructions
    for text in [instructions, *(file.content.decode() for file in rendered().values())]:
        assert "PYTHONPATH" not in text


def test_finding_11_nothing_may_be_downloaded_at_run_time() -> None:
    """Nor reported; and vllm-omni 0.18 logs the start of each sentence (serving_speech.py, line 1241 of the wheel)."""
    for service in ("livekit", "caddy"):
        assert environment(service) == {"HF_HUB_OFFLINE": "1"}
    for engine in ENGINES:
        assert environment(engine) == {
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "VLLM_LOGGING_CONFIG_PATH": "/opt/voice/engine/logging.json",
        }
    assert environment("voice-agent")["HF_HUB_OFFLINE"] == "1"
    assert {service["pull_policy"] for service in services().values()} == {"never"}


def test_finding_12_the_whisper_model_has_one_variable() -> None:
    text = b"\n".join(file.content for file in rendered().values()).decode()
    assert "FASTER_WHISPER_MODEL_PATH" not in text
    assert "FASTER_WHISPER_MODEL='/models/faster-whisper-large-v3'" in text
    assert "/models/faster-whisper-large-v3:/models/faster-whisper-large-v3:ro" in text


def test_finding_13_caddy_has_a_healthz_of_its_own() -> None:
    assert "bind 127.0.0.1\n\trespond /healthz 200" in rendered()["caddy/Caddyfile"].content.decode()
    assert services()["caddy"]["healthcheck"]["test"][-1] == "http://127.0.0.1:8088/healthz"


def test_finding_14_the_agents_health_check_asks_the_port_it_binds(settings: Settings) -> None:
    """What is asked is the image's own check, ours as another's, with the variables that the agent has."""
    assert environment("voice-agent", agent_health_port=8181)["AGENT_HEALTH_PORT"] == "8181"
    assert "test" not in services()["voice-agent"]["healthcheck"]
    dockerfile = settings.agent_build.files["Dockerfile"].content.decode()
    assert '\nHEALTHCHECK CMD ["/opt/venv/bin/python", "-m", "voice_agent", "healthcheck"]\n' in dockerfile


def test_finding_15_values_cannot_break_out_of_their_line() -> None:
    files = rendered(agent_greeting="Guten Tag, $HOME! # 'kein' \"Kommentar\" HF_TOKEN=x")
    lines = files["env/voice-agent.env"].content.decode().splitlines()
    assert lines.count("AGENT_GREETING='Guten Tag, $HOME! # \\'kein\\' \"Kommentar\" HF_TOKEN=x'") == 1
    with pytest.raises(ValueError, match="one line"):
        environment_file({"A": "b\nHF_TOKEN=c"})


def test_env_files_are_0600_and_nothing_else_is_secret() -> None:
    modes = {path: file.mode for path, file in rendered().items()}
    assert all((mode == 0o600) == path.startswith("env/") for path, mode in modes.items())


def test_a_changed_setting_changes_only_its_services_inputs() -> None:
    before, after = (
        {name: service["labels"] for name, service in services(livekit_log_level=level).items()}
        for level in ("info", "warn")
    )
    assert {name for name in before if before[name] != after[name]} == {"livekit"}


def test_a_services_inputs_are_the_files_that_it_mounts() -> None:
    """But for the Caddyfile, which Caddy reads again."""
    for name, service in services().items():
        mounts = tuple(f"{volume.partition(':')[0].removeprefix('./')}/" for volume in service["volumes"])
        assert set(MOUNTED[name]) == {path for path in rendered() if path.startswith(mounts)} - {"caddy/Caddyfile"}


def test_a_changed_caddyfile_recreates_nothing_because_caddy_reloads_it() -> None:
    before, after = rendered(), rendered(caddy_log_level="WARN")
    assert {path for path in before if before[path] != after[path]} == {"caddy/Caddyfile"}
    reload = json.loads(before["bin/start.json"].content)["reloads"]["caddy"]
    assert reload["files"] == ["caddy/Caddyfile"]
    assert b"admin unix//config/admin.sock" in before["caddy/Caddyfile"].content
    assert reload["command"][-2:] == ["--address", "unix//config/admin.sock"]
    # Without it Caddy closes every caller's WebSocket when it reloads.
    assert after["caddy/Caddyfile"].content.count(b"reverse_proxy ") == 1
    assert b"stream_close_delay 24h" in after["caddy/Caddyfile"].content


def test_a_release_is_every_file_of_the_set_but_the_programs_that_go_back() -> None:
    files = rendered()
    programs = {path for path in files if path.startswith("bin/") and path.endswith(".py")}
    assert json.loads(files["bin/start.json"].content)["files"] == sorted(set(files) - programs)


def test_weights_are_compared_on_the_host_alone(data: dict[str, Any]) -> None:
    """start.py looks for where they came from in the sources of a service's mounts; their revision is in no file."""
    used = {
        "vllm-voxtral": "voxtral-4b-tts",
        "vllm-guard": "llama-guard-3-1b",
        "voice-agent": "faster-whisper-large-v3",
    }
    for service, model in used.items():
        assert f"/models/{model}:/models/{model}:ro" in services()[service]["volumes"]
    newer = {name: {**model, "revision": "f" * 40} for name, model in data["weights_catalog"].items()}
    assert rendered(weights_catalog=newer) == rendered()


def test_the_page_is_in_no_file_unless_it_is_on() -> None:
    off, on = rendered(), rendered(talk_enabled=True)
    assert b"talk" not in off["caddy/Caddyfile"].content
    assert {path for path in on if on[path] != off[path]} == {"caddy/Caddyfile", "compose.yml"}
    without, with_page = services(), services(talk_enabled=True)
    assert {name for name in without if without[name] != with_page[name]} == {"caddy"}
    assert without["caddy"]["image"].startswith("caddy:")
    assert with_page["caddy"]["image"].startswith("voice-caddy:")


def test_each_service_gets_its_own_secrets_and_no_others() -> None:
    made = {"livekit/keys.yaml", "secrets/livekit.env", "secrets/bedrock.env"}
    given = {}
    for name, service in services().items():
        named = {file for file in service["env_file"] if file.startswith("secrets/")}
        mounts = [volume.partition(":")[0].removeprefix("./") for volume in service["volumes"]]
        mounted = {file for file in made if any(f"{file}/".startswith(f"{mount}/") for mount in mounts)}
        # The digest of LiveKit's pair is no secret.
        given[name] = (named | mounted) - {"secrets/livekit-digest.env"}
    agents = {"secrets/livekit.env", "secrets/bedrock.env"}
    assert {name: files for name, files in given.items() if files} == {
        "livekit": {"livekit/keys.yaml"},
        "voice-agent": agents,
    }
