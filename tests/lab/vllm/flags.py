"""The command line: every flag the real `vllm serve` knows, and no other."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

_TABLE = Path(__file__).with_name("flags.txt")


def _length(text: str) -> int:
    """A token count as vLLM reads it: 4096, 8k (thousands), 8K (1024s); `auto` is -1."""
    if text == "auto":
        return -1
    match = re.fullmatch(r"(-?\d+)([kKmM]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"Invalid integer value: {text!r}")
    factor = {"": 1, "k": 1000, "K": 1024, "m": 1000**2, "M": 1024**2}[match[2]]
    return int(match[1]) * factor


_TYPES: dict[str, Callable[[str], object]] = {
    "--gpu-memory-utilization": float,
    "--max-num-seqs": int,
    "--max-model-len": _length,
    "--kv-cache-memory-bytes": int,
    "--port": int,
}
_DEFAULTS: dict[str, object] = {"--gpu-memory-utilization": 0.9, "--port": 8000, "--max-num-seqs": 256}


def _add(parser: argparse.ArgumentParser, kind: str, name: str) -> None:
    """Register one row of flags.txt."""
    if kind == "flag":
        parser.add_argument(name, action="store_true")
    elif kind == "bool":
        parser.add_argument(name, action=argparse.BooleanOptionalAction)
    else:
        parser.add_argument(
            name,
            type=_TYPES.get(name, str),
            default=_DEFAULTS.get(name),
            nargs="+" if kind == "list" else None,
        )


def _parser(omni: bool) -> argparse.ArgumentParser:
    """`vllm serve`; without `--omni` on the line omni's flags do not exist (0.18 then runs plain vLLM)."""
    parser = argparse.ArgumentParser(prog="vllm", description="vLLM CLI (the lab's stand-in)")
    serve = parser.add_subparsers(dest="subparser", required=True).add_parser(
        "serve", usage="vllm serve [model_tag] " + ("--omni [options]" if omni else "[options]")
    )
    serve.add_argument("model_tag", nargs="?")
    for line in _TABLE.read_text().splitlines():
        if line.startswith("#"):
            continue
        program, kind, name = line.split()
        if program == "vllm" or omni:
            _add(serve, kind, name)
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """The parsed command line; exits 2 with argparse's words. Underscores may stand for dashes, as there."""
    words = [
        re.sub(r"(?<=--)[^.=]*", lambda name: name[0].replace("_", "-"), word, count=1)
        if word.startswith("--")
        else word
        for word in argv
    ]
    parsed = _parser("--omni" in words).parse_args(words)
    parsed.omni = getattr(parsed, "omni", False)
    parsed.model = parsed.model_tag or parsed.model or "Qwen/Qwen3-0.6B"
    return parsed
