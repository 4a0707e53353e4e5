"""How long Whisper's models take on this machine's CPU: `cd agent && .venv/bin/python tests/whisper_time.py [THREADS]`.

Their real weights are gigabytes behind the Hub. The time does not depend on what the weights say, only on their
shapes, so models of the same shapes are made from random numbers. The first two lines say whether that is true:
tiny.en with its real weights, and with made-up ones.

An utterance costs one pass of the encoder, which always works on 30 s, and one step of the decoder for each token:
a sentence of ten words is about fifteen. Greedy, int8, as whisper.py does it.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from ctranslate2.specs.whisper_spec import WhisperSpec

ROUNDS = 3
TOKENS = 15
FRAMES, POSITIONS = 3000, 1500  # of 30 s: log-mel frames, and what the encoder makes of them
CONTEXT = 448
NUMBERS = np.random.default_rng(1)


@dataclass(frozen=True)
class Shape:
    """The dimensions of a model (openai/whisper, model.py and the models' config.json)."""

    name: str
    encoder: int
    decoder: int
    width: int
    heads: int
    vocabulary: int
    mels: int

    @property
    def start(self) -> int:
        """The token <|startoftranscript|>; the one before it is <|endoftext|>."""
        return 50258 if self.vocabulary > 51864 else 50257


TINY = Shape("tiny.en, made up", 4, 4, 384, 6, 51864, 80)
LARGE = (
    Shape("large-v3-turbo", 32, 4, 1280, 20, 51866, 128),
    Shape("large-v3", 32, 32, 1280, 20, 51866, 128),
)


def made_up(shape: Shape, directory: Path, quantization: str = "int8") -> None:
    """Write a model of this shape in CTranslate2's format."""
    spec = WhisperSpec(shape.encoder, shape.heads, shape.decoder, shape.heads)
    width = shape.width
    fill(spec.encoder.conv1, (width, shape.mels, 3))
    fill(spec.encoder.conv2, (width, width, 3))
    spec.encoder.position_encodings.encodings = numbers(POSITIONS, width)
    normalise(spec.encoder.layer_norm, width)
    spec.decoder.embeddings.weight = numbers(shape.vocabulary, width)
    spec.decoder.position_encodings.encodings = numbers(CONTEXT, width)
    spec.decoder.projection.weight = spec.decoder.embeddings.weight
    normalise(spec.decoder.layer_norm, width)
    for layer in (*spec.encoder.layer, *spec.decoder.layer):
        attend(layer.self_attention, width, (3 * width, width))
        if hasattr(layer, "attention"):
            attend(layer.attention, width, (width, 2 * width, width))
        fill(layer.ffn.linear_0, (4 * width, width))
        fill(layer.ffn.linear_1, (width, 4 * width))
        normalise(layer.ffn.layer_norm, width)
    spec.register_vocabulary(vocabulary(shape))
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(directory))


def numbers(*shape: int) -> np.ndarray[Any, Any]:
    return NUMBERS.standard_normal(shape, dtype=np.float32) * np.float32(0.02)


def fill(linear: Any, shape: tuple[int, ...]) -> None:
    linear.weight = numbers(*shape)
    linear.bias = np.zeros(shape[0], np.float32)


def normalise(norm: Any, width: int) -> None:
    norm.gamma, norm.beta = np.ones(width, np.float32), np.zeros(width, np.float32)


def attend(attention: Any, width: int, outputs: tuple[int, ...]) -> None:
    for linear, output in zip(attention.linear, outputs, strict=True):
        fill(linear, (output, width))
    normalise(attention.layer_norm, width)


def vocabulary(shape: Shape) -> list[str]:
    """Any words, with the special ones at the places where Whisper has them."""
    words = [f"w{number}" for number in range(shape.vocabulary)]
    words[shape.start - 1 : shape.start + 1] = ["<|endoftext|>", "<|startoftranscript|>"]
    words[-1503:-1501] = ["<|nospeech|>", "<|notimestamps|>"]
    return words


def measure(name: str, directory: Path, threads: int, shape: Shape) -> None:
    """One line: encoder, one token, an utterance, memory."""
    before = resident()
    model = ctranslate2.models.Whisper(str(directory), device="cpu", compute_type="int8", intra_threads=threads)
    sound = numbers(1, shape.mels, FRAMES)
    encoder, decoder = [], []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        encoded = model.encode(ctranslate2.StorageView.from_array(sound))
        between = time.perf_counter()
        decode(model, shape, encoded)
        decoder.append((time.perf_counter() - between) / TOKENS)
        encoder.append(between - started)
    once, token = statistics.median(encoder[1:]), statistics.median(decoder[1:])  # the first round warms up
    sys.stdout.write(
        f"| {name} | {once:.2f} | {token * 1000:.0f} | {once + TOKENS * token:.2f} | {resident() - before:.0f} |\n"
    )
    sys.stdout.flush()


def decode(model: Any, shape: Shape, encoded: Any) -> None:
    """Make TOKENS tokens: nothing may end it early."""
    model.generate(encoded, [[shape.start]], beam_size=1, max_length=TOKENS + 1, suppress_tokens=[shape.start - 1])


def resident() -> float:
    """This process's memory, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(threads: int) -> None:
    from speech import WEIGHTS  # noqa: PLC0415 - benchmarks/on_a_card.py takes the shapes alone

    sys.stdout.write(f"{os.cpu_count()} cores, {threads} threads, int8, median of {ROUNDS}\n")
    sys.stdout.write(f"| model | encoder (s) | token (ms) | {TOKENS} tokens in all (s) | memory (MiB) |\n|")
    sys.stdout.write(" --- |" * 5 + "\n")
    sys.stdout.flush()
    alone(measure, "tiny.en", WEIGHTS, threads, TINY)
    for shape in (TINY, *LARGE):
        with tempfile.TemporaryDirectory() as directory:
            alone(made_up, shape, Path(directory))
            alone(measure, shape.name, Path(directory), threads, shape)


def alone(work: Callable[..., None], *arguments: object) -> None:
    """In a process of its own, whose memory starts empty."""
    process = get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(process.exitcode)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
