"""Is this repository the model we mean? Decided from kilobytes, before gigabytes are fetched. Pure.

Two models with nearly the same name are easily confused: Voxtral-4B-TTS-2603 speaks, Voxtral-Mini-3B-2507
listens, and the wrong one costs 18 GB and a container that fails with a message about `acoustic_transformer`.
The evidence is small JSON files, the first bytes of the weights, and the listing with its sizes.

Standard library only: this module also runs on the target.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_HEADER = 512 * 1024
"""Bytes. The headers of the models that we know are below 64 KiB; a larger one is refused, not read."""

MAX_DOCUMENT = 128 * 1024
"""Bytes. Every JSON document that is read here has less than 4 KiB in the models that we know."""

FIRST_BYTES = 64
"""Bytes that are enough to say how long a binary file's header is."""

VOXTRAL_PREFIXES = ("acoustic_transformer.", "audio_tokenizer.", "mm_audio_embeddings.")
VOXTRAL_SHAPE = {
    "dim": 3072,
    "n_layers": 26,
    "n_heads": 32,
    "n_kv_heads": 8,
    "head_dim": 128,
    "hidden_dim": 9216,
    "vocab_size": 131072,
    "max_seq_len": 65536,
}
"""What params.json must say; voicestack/gpu plans the card's memory with it."""

GUARD_SHAPE = {
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 8192,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}
"""The same for config.json."""

MEANT = {
    "voxtral_tts": "mistralai/Voxtral-4B-TTS-2603",
    "llama_guard_3": "meta-llama/Llama-Guard-3-1B",
    "whisper_ct2": "a CTranslate2 conversion of Whisper, like Systran/faster-whisper-large-v3",
}


DOCUMENTS = {
    "voxtral_tts": ("params.json", "config.json"),
    "llama_guard_3": ("config.json",),
    "whisper_ct2": ("config.json",),
}
"""The JSON files to read whole, where they exist."""

HEADS = {
    "voxtral_tts": "consolidated.safetensors",
    "llama_guard_3": "model.safetensors",
    "whisper_ct2": "model.bin",
}
"""The binary file whose header to read."""


@dataclass(frozen=True)
class Evidence:
    """What was read of a model.

    Attributes:
        listing: every path in the repository or directory with its size in bytes.
        wanted: the paths of those that would be fetched.
        documents: the text of each file in DOCUMENTS that exists.
        heads: the first bytes of the file in HEADS if it exists, as many as `head_length` says.
    """

    listing: Mapping[str, int]
    wanted: frozenset[str]
    documents: Mapping[str, str]
    heads: Mapping[str, bytes]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.what}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class Verdict:
    """The answer for one repository; it is the model that we mean when there is no finding."""

    architecture: str
    findings: tuple[Finding, ...]
    resembles: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the bytes may be fetched."""
        return not self.findings

    def message(self, repo: str) -> str:
        """What was expected, what was found, and which repository is meant; one finding on a line."""
        if self.ok:
            return f"{repo} is {self.architecture}"
        lines = [f"{repo} is not a {self.architecture} model:"]
        lines += [f"  {finding}" for finding in self.findings]
        if self.resembles:
            lines.append(f"  It looks like {self.resembles}.")
        lines.append(f"  Meant is {MEANT[self.architecture]}.")
        return "\n".join(lines)


@dataclass
class _Report:
    """Collects findings, so that one refusal says everything."""

    findings: list[Finding] = field(default_factory=list)

    def expect(self, holds: bool, what: str, expected: str, found: str) -> None:
        if not holds:
            self.findings.append(Finding(what, expected, found))


def head_length(path: str, first: bytes) -> int:
    """How many bytes of `path` are its header, given its first ones; never above MAX_HEADER + 8."""
    if not path.endswith(".safetensors") or len(first) < 8:
        return min(len(first), FIRST_BYTES)
    (length,) = struct.unpack("<Q", first[:8])
    return 8 + min(int(length), MAX_HEADER)


def judge(architecture: str, evidence: Evidence) -> Verdict:
    """Whether `evidence` shows a model of `architecture`."""
    report = _Report()
    check: Callable[[Evidence, _Report], None] = {
        "voxtral_tts": _voxtral,
        "llama_guard_3": _guard,
        "whisper_ct2": _whisper,
    }[architecture]
    check(evidence, report)
    return Verdict(architecture, tuple(report.findings), _resembles(evidence) if report.findings else None)


def safetensors_header(head: bytes) -> dict[str, Any] | None:
    """The header's table of tensors, or None if `head` is not a whole, sane safetensors header."""
    if len(head) < 8:
        return None
    (length,) = struct.unpack("<Q", head[:8])
    if length > MAX_HEADER or len(head) < 8 + length:
        return None
    return _json_object(head[8 : 8 + length].decode("utf-8", errors="replace"))


def safetensors_size(head: bytes, header: Mapping[str, Any]) -> int | None:
    """The size in bytes that the file must have by its header, or None if the header does not say."""
    ends = [_end_of(entry) for name, entry in header.items() if name != "__metadata__"]
    whole = [end for end in ends if end is not None]
    if not whole or len(whole) != len(ends):
        return None
    (length,) = struct.unpack("<Q", head[:8])
    return 8 + int(length) + max(whole)


def ctranslate2_spec(head: bytes) -> str | None:
    """The specification's name in a CTranslate2 binary's header: version (u32), length (u16), text, NUL."""
    if len(head) < 6:
        return None
    _, length = struct.unpack("<IH", head[:6])
    name = head[6 : 6 + length]
    return name[:-1].decode("ascii", errors="replace") if name.endswith(b"\0") else None


def _voxtral(evidence: Evidence, report: _Report) -> None:
    params = _document(evidence, "params.json", report)
    model_type = params.get("model_type")
    report.expect(model_type == "voxtral_tts", "params.json model_type", '"voxtral_tts"', _show(model_type))
    _shape("params.json", params, VOXTRAL_SHAPE, report)
    _voices(params, evidence, report)
    multimodal = _table(params.get("multimodal"))
    report.expect(
        "whisper_model_args" not in multimodal,
        "params.json multimodal.whisper_model_args",
        "none",
        "one (a model that listens)",
    )
    report.expect(
        "config.json" not in evidence.listing,
        "config.json",
        "no such file in the repository",
        f"architectures {_show(_config(evidence).get('architectures'))}",
    )
    tensors = _tensors("consolidated.safetensors", evidence, report)
    for prefix in VOXTRAL_PREFIXES:
        report.expect(
            any(name.startswith(prefix) for name in tensors),
            "consolidated.safetensors",
            f"tensors named {prefix}*",
            "none",
        )
    _present(("tekken.json",), evidence, report)


def _voices(params: Mapping[str, Any], evidence: Evidence, report: _Report) -> None:
    """The voice table, and a file that would be fetched for each of its voices."""
    tokenizer = _table(_table(params.get("multimodal")).get("audio_tokenizer_args"))
    voices = tokenizer.get("voice")
    named = isinstance(voices, dict) and bool(voices)
    where = "params.json multimodal.audio_tokenizer_args.voice"
    report.expect(named, where, "a table of voices", _show(voices))
    if named:
        missing = [v for v in voices or () if f"voice_embedding/{v}.pt" not in evidence.wanted]
        report.expect(
            not missing,
            "voice_embedding/",
            "a .pt file for each voice of params.json",
            f"none for {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}",
        )


def _guard(evidence: Evidence, report: _Report) -> None:
    config = _document(evidence, "config.json", report)
    found = config.get("architectures")
    report.expect(found == ["LlamaForCausalLM"], "config.json architectures", '["LlamaForCausalLM"]', _show(found))
    _shape("config.json", config, GUARD_SHAPE, report)
    # Llama-3.2-1B has the same shape. The Guard alone has an output layer of its own (and "false" is the
    # default that a configuration may leave out).
    tied = config.get("tie_word_embeddings", False)
    report.expect(tied is False, "config.json tie_word_embeddings", "false", _show(tied))
    tensors = _tensors("model.safetensors", evidence, report)
    report.expect("lm_head.weight" in tensors, "model.safetensors", "a tensor lm_head.weight", "none")
    _present(("tokenizer.json", "tokenizer_config.json"), evidence, report)


def _whisper(evidence: Evidence, report: _Report) -> None:
    config = _document(evidence, "config.json", report)
    report.expect(
        isinstance(config.get("suppress_ids"), list),
        "config.json suppress_ids",
        "a list (a CTranslate2 Whisper configuration)",
        _show(config.get("suppress_ids")),
    )
    spec = ctranslate2_spec(evidence.heads.get("model.bin", b""))
    report.expect(spec == "WhisperSpec", "model.bin header", '"WhisperSpec"', _show(spec))
    _present(("model.bin", "tokenizer.json"), evidence, report)
    report.expect(
        any(path.startswith("vocabulary.") for path in evidence.wanted),
        "vocabulary.json or vocabulary.txt",
        "one of them",
        "neither",
    )


def _tensors(path: str, evidence: Evidence, report: _Report) -> Mapping[str, Any]:
    """The tensor table of `path`, which must be whole and agree with the file's size."""
    head = evidence.heads.get(path, b"")
    header = safetensors_header(head)
    if header is None:
        report.expect(False, path, f"a safetensors header below {MAX_HEADER // 1024} KiB", "none")
        return {}
    should, listed = safetensors_size(head, header), evidence.listing.get(path)
    report.expect(should == listed, f"size of {path}", f"{should} bytes by its own header", f"{listed}")
    report.expect(path in evidence.wanted, path, "it among the files to fetch", "it left out")
    return header


def _present(paths: tuple[str, ...], evidence: Evidence, report: _Report) -> None:
    for path in paths:
        report.expect(path in evidence.wanted, path, "the file among those to fetch", "none")


def _shape(path: str, values: Mapping[str, Any], expected: Mapping[str, int], report: _Report) -> None:
    """Compare numbers by value and type: `true` is not 1, and 16.0 is not 16."""
    for key, number in expected.items():
        found = values.get(key)
        report.expect(type(found) is int and found == number, f"{path} {key}", str(number), _show(found))


def _document(evidence: Evidence, path: str, report: _Report) -> dict[str, Any]:
    """The JSON object in `path`, which must be there and be fetched; an empty one after a finding."""
    text = evidence.documents.get(path)
    value = None if text is None else _json_object(text)
    if value is None:
        report.expect(False, path, "a JSON object", "no such file" if text is None else "something else")
        return {}
    report.expect(path in evidence.wanted, path, "the file among those to fetch", "it left out")
    return value


def _resembles(evidence: Evidence) -> str | None:
    """The model that this looks like instead, where we know it."""
    architectures = _config(evidence).get("architectures")
    names = architectures if isinstance(architectures, list) else []
    params = _json_object(evidence.documents.get("params.json", "")) or {}
    whisper = "whisper_model_args" in _table(params.get("multimodal"))
    if whisper or "VoxtralForConditionalGeneration" in names:
        return "Voxtral-Mini-3B-2507 (it transcribes speech; it cannot speak)"
    return None


def _config(evidence: Evidence) -> dict[str, Any]:
    return _json_object(evidence.documents.get("config.json", "")) or {}


def _json_object(text: str) -> dict[str, Any] | None:
    """`text` as a JSON object; None for whatever else it is (deep nesting ends in RecursionError)."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _end_of(entry: object) -> int | None:
    """The last byte offset of one tensor in a safetensors table."""
    offsets = _table(entry).get("data_offsets")
    if not isinstance(offsets, list) or len(offsets) != 2 or type(offsets[1]) is not int:
        return None
    return offsets[1]


def _show(value: object) -> str:
    """`value` short enough for a message."""
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 80 else f"{text[:77]}..."
