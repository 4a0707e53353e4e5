"""What the memory plan assumes of a card, measured on one, beside the plan's constants: `benchmarks/on_a_card.sh`.

For a machine with an NVIDIA card and its driver, without a network. nvidia-smi, libcuda.so.1 and Python 3.10 are enough
for contexts and, as root, for cuInit under the agent's restrictions; torch, ctranslate2 are used where they are.
Each item is a process of its own, ended when its time is over; what was not measured is said with the reason. Nothing
stays on the machine. Other programs on the card make the figures wrong.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from voicestack.gpu.cards import DRIVER_KEEPS
from voicestack.gpu.memory import CONTEXT, LIBRARIES, LOGIT_BYTES, WHISPER_OF_FILE
from voicestack.gpu.speed import LARGE_V3_FILE, RECOGNITION_S
from voicestack.gpu.units import MIB

ROOT = Path(__file__).resolve().parents[1]
RESTRICTED = """
mount --rbind /dev /mnt
mount -t tmpfs -o mode=755 tmpfs /dev
for node in null zero urandom $(cd /mnt && ls -d nvidia* | grep -v "^$1"); do
    if [ -d "/mnt/$node" ]; then mkdir "/dev/$node"; else : >"/dev/$node"; fi
    mount --rbind "/mnt/$node" "/dev/$node"
done
umount -l /mnt
mount -o remount,bind,ro /
shift
exec "$@"
"""
"""In a mount namespace: a read-only root, and a /dev with NVIDIA's nodes but those that begin with $1."""


def row(what: str, measured: Any, plan: Any, where: str) -> None:
    """A line of the table: two numbers or two texts."""
    if isinstance(plan, str):
        words = [measured, plan, "as planned" if measured.startswith(plan) else "DIFFERS"]
    else:
        words = [f"{measured:,.2f}", f"{plan:,.2f}", f"{measured / plan:.2f}"]
    print(f"| {' | '.join([what, *words, where])} |", flush=True)


def smi(fields: str) -> list[str]:
    """What nvidia-smi says of the first card."""
    words = ["nvidia-smi", "--id=0", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout.strip().split(", ")


def used() -> int:
    """Bytes of the card that are in use."""
    return int(smi("memory.used")[0]) * MIB


def cuda() -> Callable[..., None]:
    """How to call libcuda's functions, in the first card's own context of this process, as torch and CTranslate2 do."""
    library = ctypes.CDLL("libcuda.so.1")

    def call(name: str, *arguments: Any) -> None:
        if code := getattr(library, name)(*arguments):
            sys.exit(f"{name} answers {code}")

    call("cuInit", 0)
    own = ctypes.c_void_p()
    call("cuDevicePrimaryCtxRetain", ctypes.byref(own), 0)
    call("cuCtxSetCurrent", own)
    return call


def context() -> None:
    """What CUDA contexts take, and what the driver keeps."""
    idle = used()
    call = cuda()
    first = used() - idle
    free, total, more = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_void_p()
    call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    kept = 1 - total.value / (int(smi("memory.total")[0]) * MIB)
    row("driver keeps, % of memory.total", kept * 100, DRIVER_KEEPS * 100, "DRIVER_KEEPS")
    row("first process's context, nvidia-smi, MiB", first / MIB, CONTEXT / MIB, "CONTEXT")
    row("the same, total less free of CUDA, MiB", (total.value - free.value - idle) / MIB, CONTEXT / MIB, "CONTEXT")
    call("cuCtxCreate_v2", ctypes.byref(more), 0, 0)
    row("a second context in one process, MiB", (used() - idle - first) / MIB, CONTEXT / MIB, "CONTEXT")
    before = used()
    words = [sys.executable, "-B", "-m", "benchmarks.on_a_card", "hold"]
    # On the card at once, as the plan has them: two stages, guard, Whisper.
    others = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    if not all(other.stdout and other.stdout.readline() for other in others):
        sys.exit("a second process got no context (compute mode exclusive?)")
    row("each of three more processes', MiB", (used() - before) / 3 / MIB, CONTEXT / MIB, "CONTEXT")
    for other in others:
        other.communicate()


def hold() -> None:
    """Have a context until stdin ends."""
    cuda()
    print("ready", flush=True)
    sys.stdin.read()


def restrictions() -> None:
    """CUDA without rights, as on_host/engine/gpu_proof.py asks for it in a container."""
    cuda()
    # One that uid 10001 may run.
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") or sys.executable
    program = (ROOT / "on_host/engine/gpu_proof.py").read_text(encoding="utf-8")
    rights = ["--reuid=10001", "--regid=10001", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
    agent = ["setpriv", *rights, "--no-new-privs", python, "-c", program]
    inside = ["unshare", "--mount", "--propagation", "private", "bash", "-euc", RESTRICTED, "restricted"]
    works, where = "CUDA works", "docker_gpu_proof.sh"
    for what, words, plan, source in (
        ("cuInit as uid 10001 without capabilities", agent, works, where),
        ("the same with a read-only root, /dev of its own", [*inside, "none", *agent], works, where),
        ("the same without /dev/nvidia-uvm", [*inside, "nvidia-uvm", *agent], "cuInit answers 999", "nvidia/libcuda.s"),
    ):
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        said = (done.stdout.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        row(what, said[:70], plan, source)


def sampler() -> None:
    """The steps of vLLM's sampler with top-p, of 4 sequences, and what CUDA's libraries take beside torch's memory.

    vllm/v1/sample/ops/topk_topp_sampler.py, below 8 sequences: logits in float32, sorted with their places, softmax,
    running sums, mask, back to their places, softmax, drawn by exponential noise.
    """
    idle = used()
    torch = import_module("torch")
    count, vocabulary = 4, 131_072  # Voxtral's
    logits = torch.randn(count, vocabulary, device="cuda", dtype=torch.bfloat16)
    values = logits.float()
    ordered, places = values.sort(dim=-1)
    sums = ordered.softmax(dim=-1)
    torch.cumsum(sums, dim=-1, out=sums)
    ordered.masked_fill_(sums <= 1 - 0.9, -float("inf"))
    chances = values.scatter_(-1, places, ordered).softmax(dim=-1)
    chances.div_(torch.empty_like(chances).exponential_()).argmax(dim=-1)
    peak = torch.cuda.max_memory_allocated() / count / vocabulary
    row("sampler, bytes a word and sequence", peak, LOGIT_BYTES, "LOGIT_BYTES")
    square = torch.ones(1024, 1024, device="cuda", dtype=torch.bfloat16)
    (square @ square).sum().item()
    rest = used() - idle - torch.cuda.memory_reserved()
    row("context and libraries of torch, MiB", rest / MIB, (CONTEXT + LIBRARIES) / MIB, "CONTEXT + LIBRARIES")


def whisper() -> None:
    """Whisper large-v3 with made-up weights, in a float16 file as the real one, loaded as the agent does."""
    ctranslate2, numpy = import_module("ctranslate2"), import_module("numpy")
    sys.path.insert(0, str(ROOT / "agent/tests"))
    made = import_module("whisper_time")
    shape = made.LARGE[1]
    with tempfile.TemporaryDirectory() as directory:
        made.made_up(shape, Path(directory), "float16")
        size = (Path(directory) / "model.bin").stat().st_size
        row("made-up model.bin, MiB", size / MIB, LARGE_V3_FILE / MIB, "LARGE_V3_FILE")
        idle = used()
        model = ctranslate2.models.Whisper(directory, device="cuda", compute_type="int8_float16")
    sound = ctranslate2.StorageView.from_array(numpy.zeros((1, shape.mels, made.FRAMES), numpy.float32))
    for _ in range(2):  # the first one warms up
        started = time.monotonic()
        made.decode(model, shape, model.encode(sound))
        took = time.monotonic() - started
    row("Whisper, of its file", (used() - idle) / size, WHISPER_OF_FILE, "WHISPER_OF_FILE")
    row(f"an utterance of {made.TOKENS} tokens, s", took, RECOGNITION_S["cuda"], "RECOGNITION_S")


ITEMS: dict[str, tuple[Callable[[], None], int]] = {
    "context": (context, 60),
    "restrictions": (restrictions, 60),
    "sampler": (sampler, 120),
    "whisper": (whisper, 200),
}
"""What is measured, and in how many seconds at most."""


def within(item: str, seconds: float, scratch: str) -> str:
    """Measure one item in a process of its own; why it could not be measured, or ""."""
    words = [sys.executable, "-B", "-m", "benchmarks.on_a_card", item]
    environment = {**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "TMPDIR": scratch}
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        said = process.communicate(timeout=seconds)[1].strip().splitlines()
    except subprocess.TimeoutExpired:
        said = [f"not done after {seconds:.0f} s"]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # those that it started, too
            process.communicate()
    return (said or [f"ended with {process.returncode}"])[-1] if process.returncode else ""


def main() -> int:
    """Measure everything that can be; 1 if nothing could."""
    try:
        print(", ".join(smi("name,driver_version,memory.total,memory.used,mig.mode.current")))
    except (OSError, subprocess.SubprocessError) as error:
        print(f"nvidia-smi does not work here, and without it no memory is measured: {error}")
    print("\n| what | measured | plan | ratio | constant |\n| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        whys = {item: within(item, limit, scratch) for item, (_, limit) in ITEMS.items()}
    print("\nConstants: voicestack/gpu/memory.py, cards.py, speed.py.")
    for item, why in whys.items():
        print(f"{item}: {f'not measured, or not all of it: {why}' if why else 'measured'}")
    return int(all(whys.values()))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        {"hold": hold, **{item: function for item, (function, _) in ITEMS.items()}}[sys.argv[1]]()
    else:
        sys.exit(main())
