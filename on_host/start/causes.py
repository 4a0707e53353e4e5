"""What a log line usually means. Runs on the host beside start.py; standard library only, pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

CAUSES: tuple[tuple[str, str], ...] = (
    (
        r"no module or parameter named 'acoustic_transformer'",
        "plain vLLM loaded Voxtral-4B-TTS: it needs the vllm-omni image with --omni and --stage-configs-path",
    ),
    (
        r"Free memory on device .* is less than desired GPU memory utilization",
        "another process holds the card's memory (nvidia-smi shows which): the plan leaves room for the stack alone",
    ),
    (
        r"No available memory for the cache blocks",
        "the engine was left to measure its KV cache and found no room: a compose.yml or stage file that this "
        "deploy did not write; run it again",
    ),
    (
        r"KV cache is needed, which is larger than the available KV cache memory",
        "the KV cache holds less than one sequence: a compose.yml or stage file that this deploy did not write; "
        "run it again",
    ),
    (
        r"warming up sampler",
        "the sampler's warm-up ran out of memory: lower guard_sequences, keep guard_eager on",
    ),
    (
        r"CUDA out of memory|torch\.OutOfMemoryError",
        "the card is full: too many sequences or too long contexts (guard_*, voxtral_stage0_*), or another program "
        "uses it (nvidia-smi shows which)",
    ),
    (
        r"Error in memory profiling",
        "another program freed or took GPU memory while the engine measured it: only the stack may use the card",
    ),
    (
        r"nvml error: driver not loaded|could not select device driver|Driver/library version mismatch",
        "the NVIDIA driver or the container toolkit is not working on the host: run the deploy, it checks both",
    ),
    (
        r"Failed to initialize NVML: Unknown Error|Failed to infer device type|No CUDA GPUs are available",
        "the container does not see the GPU: compare `docker info` (cgroup driver must be cgroupfs) and nvidia-smi",
    ),
    (
        r"system has unsupported display driver|Error 803",
        "the image's CUDA libraries do not fit the driver: see docs/decisions/nvml-after-daemon-reload.md",
    ),
    (
        r"CUDA unknown error|CUDA_ERROR_UNKNOWN",
        "the container sees the card and cannot compute on it: nvidia-uvm was not loaded, or its devices not there, "
        "when the container started (lsmod, ls /dev/nvidia-uvm): run the deploy",
    ),
    (
        r"createContainer hook",
        "the container toolkit's hook failed: toolkit, driver and Docker do not fit together: run the deploy, it tries "
        "the way to the card",
    ),
    (
        r"unresolvable CDI devices",
        "Docker looks for the card in a CDI specification that does not have it (`nvidia-ctk cdi list` shows what it "
        "has): run the deploy",
    ),
    (
        r"seccomp not supported|namespace \{.*\} does not exist",
        "runc does not fit this Docker: containerd.io brings its own (`which -a runc` shows who comes first)",
    ),
    (
        r"[Nn]o space left on device",
        "a disk is full: `df -h` shows which, `docker system df` what images take; in /dev/shm it is shm_size",
    ),
    (
        r"Could not determine model_type|incomplete metadata|MetadataIncompleteBuffer|HeaderTooLarge|header too large"
        r"|not a valid JSON file",
        "the weights on disk are damaged or not the model this engine serves: run deploys/weights.py with --data "
        "weights_verify=deep",
    ),
    (
        r"Cannot find any model weights with|Invalid repository ID or local directory"
        r"|Either model_file or model_proto must be specified",
        "files of the model are missing on disk, or its directory is: run deploys/weights.py",
    ),
    (
        r"LocalEntryNotFoundError|outgoing traffic has been disabled|HF_HUB_OFFLINE",
        "something is missing in the models' directory and the containers may not download: run deploys/weights.py",
    ),
    (
        r"address already in use",
        "another program on the host listens on this service's port (ss -lntup shows which)",
    ),
    (
        r"key file others permissions must be set to 0",
        "keys.yaml is readable by others: run the deploy, it writes it with mode 0600",
    ),
    (
        r"could not parse config|yaml: unmarshal",
        "livekit.yaml has a key that this LiveKit does not know: an edit by hand, or another version of the image",
    ),
    (
        r"could not resolve external IP",
        "LiveKit asked a STUN server for its address: site_public_address must be known instead",
    ),
    (
        r"urn:ietf:params:acme|could not get certificate|obtaining certificate|challenge failed",
        "no certificate from Let's Encrypt: does site_domain's DNS name this host, is port 80 open to the world?",
    ),
    (
        r"adapting config|Caddyfile:\d+",
        "Caddy refuses its Caddyfile: an edit by hand, or another version of the image",
    ),
    (
        r"^ModuleNotFoundError: No module named",
        "a Python package is not where the Python of the agent's image looks; install it in a virtual environment, and "
        "have the Dockerfile import it, so that the build fails and not the start (docs/agent.md)",
    ),
    (
        r"invalid API key|401.*livekit|unauthorized",
        "the agent's LiveKit key and secret are not the server's: run the deploy, it gives both the same",
    ),
)


def likely_cause(lines: Iterable[str]) -> str | None:
    """The cause that the last telling line points to, or None."""
    for line in reversed(list(lines)):
        for pattern, cause in CAUSES:
            if re.search(pattern, line):
                return cause
    return None
