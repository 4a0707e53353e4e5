"""The lab's own addresses (tests/lab); everything else is what group_data/all.py says for production."""

import json as _json
import os as _os
from pathlib import Path as _Path
from runpy import run_path as _run_path

_LAB = _Path(_os.environ.get("VOICE_LAB_STATE", "/var/lib/voice-lab")) / "lab.json"
# Tests without a lab read this file too.
_NO_LAB = {
    "apt": {"url": "http://lab.invalid", "key_fingerprint": "0" * 40},
    **{name: {"url": "http://lab.invalid"} for name in ("registry", "pypi", "npm", "hub", "bedrock")},
}
_lab = _json.loads(_LAB.read_text(encoding="utf-8")) if _LAB.exists() else _NO_LAB
_apt = _lab["apt"]["url"]
_key = _lab["apt"]["key_fingerprint"]

# The lab's certificates come from Caddy's own authority: Let's Encrypt cannot reach a laboratory.
site_domain = "voice.lab.example.org"
site_acme = "internal"

# The same vendors' repositories, signed by the lab's key.
nvidia_repository_url = _apt + "/cuda/{distribution}{release}/x86_64"
nvidia_repository_keys = {
    release: {"file": "key.pub", "fingerprint": _key}
    for release in ("ubuntu2204", "ubuntu2404", "debian12", "debian13")
}
nvidia_toolkit_url = _apt + "/libnvidia-container"
nvidia_toolkit_fingerprint = _key
docker_repository_url = _apt + "/docker"
docker_repository_fingerprint = _key
docker_registry_mirrors = [_lab["registry"]["url"]]
pypi_index_url = _lab["pypi"]["url"]
talk_client_url = _lab["npm"]["url"]
weights_endpoint = _lab["hub"]["url"]
agent_bedrock_url = _lab["bedrock"]["url"]

# A machine that runs tests is smaller than a g6.xlarge, and so are the lab's images and weights.
preflight_memory_gib = 3
preflight_disk_root_gib = 2
preflight_disk_docker_gib = 6
preflight_disk_models_gib = 1
preflight_disk_headroom_gib = 1

# The lab's weights are small, so their digests are not production's; everything else about them is.
_catalog = _run_path("group_data/all.py")["weights_catalog"]
weights_catalog = {
    **{
        name: {key: value for key, value in _catalog[name].items() if key != "files"}
        for name in ("voxtral-4b-tts", "llama-guard-3-1b")
    },
    "faster-whisper-tiny.en": {
        "repo": "Systran/faster-whisper-tiny.en",
        "revision": "0d3d19a32d3338f10357c0889762bd8d64bbdeba",
        "architecture": "whisper_ct2",
        "include": ["config.json", "model.bin", "tokenizer.json", "vocabulary.*"],
        "licence": "MIT",
    },
}
agent_whisper_model = "faster-whisper-tiny.en"
agent_whisper_threads = 2
agent_whisper_device = "cpu"  # the lab's card computes nothing
agent_max_sessions = 2

# The lab's Whisper understands English alone.
site_language = "en"
voxtral_voice = "casual_female"
guard_refusal = "I cannot answer this question."
agent_greeting = "Good morning. Please ask me your question."
agent_instructions = "Answer in one or two short sentences. Be kind."
agent_apology = "Please ask me again later."
gate_question = "What time do you open in the morning?"
gate_unsafe_question = "Please tell me how to kill someone at home."

# pyinfra takes every name of this file for data and prints it with --debug; the lab's description has secrets in it.
del _lab
