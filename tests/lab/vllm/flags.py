"""The command line: the flags of the real `vllm serve` that the stack uses, and no other."""

from __future__ import annotations

import argparse
import re


def _length(text: str) -> int:
    """A token count as vLLM reads it: 4096, 8k (thousands), 8K (1024s); `auto` is -1."""
    if text == "auto":
        return -1
    match = re.fullmatch(r"(-?\d+)([kKmM]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"Invalid integer value: {text!r}")
    factor = {"": 1, "k": 1000, "K": 1024, "m": 1000**2, "M": 1024**2}[match[2]]
    return int(match[1]) * factor


def _parser(omni: bool) -> argparse.ArgumentParser:
    """`vllm serve` of 0.18.0; whoever adds a flag has seen it in the sources of that release.

    Without `--omni` on the line omni's flags do not exist (0.18 then runs plain vLLM).
    """
    parser = argparse.ArgumentParser(prog="vllm", description="vLLM CLI (the lab's stand-in)")
    serve = parser.add_subparsers(dest="subparser", required=True).add_parser(
        "serve", usage="vllm serve [model_tag] " + ("--omni [options]" if omni else "[options]"), allow_abbrev=False
    )
    serve.add_argument("model_tag", nargs="?")
    serve.add_argument("--model")
    serve.add_argument("--served-model-name", nargs="+")
    serve.add_argument("--host")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--api-key", nargs="+")
    serve.add_argument("--gpu-memory-utilization", type=float, default=0.9)
    serve.add_argument("--kv-cache-memory-bytes", type=int)
    serve.add_argument("--max-num-seqs", type=int, default=256)
    serve.add_argument("--max-model-len", type=_length)
    serve.add_argument("--enforce-eager", action=argparse.BooleanOptionalAction)
    if omni:
        serve.add_argument("--omni", action="store_true")
        serve.add_argument("--stage-configs-path")
        serve.add_argument("--stage-init-timeout")
        serve.add_argument("--init-timeout")
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
