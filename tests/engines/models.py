"""Two models in miniature that the real programs load: a Llama Guard of two layers, a Voxtral without weights.

What they say is decided by judge.py and workers.py, so the weights are zeros. Tokenizers, chat template and
configuration are read by the real code: one token a byte, the special tokens where the real models have theirs.
"""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

from tests.lab.hub.content import GUARD_CONFIG, VOICES, VOXTRAL_PARAMS
from tests.lab.vllm_miniature import safetensors

GUARD_SPECIALS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
_WORDS = ["safe", "unsafe"]
"""One token each, as in the real vocabulary."""

# Ours, with the rules of Meta's: who is judged, which categories count, which roles may follow each other.
_TEMPLATE = """
{%- set judged = 'User' if messages | length is odd else 'Agent' -%}
{%- if categories is not defined -%}
{%- set categories = {CATEGORIES} -%}
{%- endif -%}
{{- bos_token -}}<|start_header_id|>user<|end_header_id|>

Is there unsafe content in '{{ judged }}' messages?

<BEGIN UNSAFE CONTENT CATEGORIES>
{% for key in categories if key not in (excluded_category_keys or []) %}{{ key }}: {{ categories[key] }}
{% endfor %}<END UNSAFE CONTENT CATEGORIES>

<BEGIN CONVERSATION>

{% for message in messages -%}
{%- if (message.role == 'user') != (loop.index0 is even) -%}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') -}}
{%- endif -%}
{{- 'User' if message.role == 'user' else 'Agent' }}: {% for part in message.content if part.type == 'text' -%}
{{- part.text | trim -}}
{%- endfor %}

{% endfor %}<END CONVERSATION><|eot_id|><|start_header_id|>assistant<|end_header_id|>
""".replace("{CATEGORIES}", json.dumps({f"S{number}": f"Kind {number}." for number in range(1, 14)}))

VOXTRAL_SPECIALS = 40
_SPECIAL_NAMES = {
    **{0: "<unk>", 1: "<s>", 2: "</s>", 3: "[INST]", 4: "[/INST]", 5: "[AVAILABLE_TOOLS]", 6: "[/AVAILABLE_TOOLS]"},
    **{7: "[TOOL_RESULTS]", 8: "[/TOOL_RESULTS]", 9: "[TOOL_CALLS]", 10: "[IMG]", 11: "<pad>", 12: "[IMG_BREAK]"},
    **{13: "[IMG_END]", 14: "[PREFIX]", 15: "[MIDDLE]", 16: "[SUFFIX]", 17: "[SYSTEM_PROMPT]", 18: "[/SYSTEM_PROMPT]"},
    **{
        19: "[TOOL_CONTENT]",
        24: "[AUDIO]",
        25: "[BEGIN_AUDIO]",
        34: "[TRANSCRIBE]",
        35: "[NEXT_AUDIO_TEXT]",
        36: "[REPEAT_AUDIO_TEXT]",
    },
}
TEXT_FOLLOWS = 35
"""The token in a prompt behind which the text to speak begins; two tokens end it."""


BREAKS = "This sentence breaks the engine."
"""What workers.py raises an error at."""


def guard(directory: Path) -> None:
    """Llama-Guard-3-1B, small."""
    vocabulary = {character: number for number, character in enumerate(_byte_characters())}
    added = {word: len(vocabulary) + number for number, word in enumerate([*GUARD_SPECIALS, *_WORDS])}
    config = {
        **{key: value for key, value in GUARD_CONFIG.items() if key != "rope_scaling"},
        **{"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "num_key_value_heads": 1},
        **{"intermediate_size": 64, "vocab_size": len(vocabulary) + len(added)},
        **{"bos_token_id": added["<|begin_of_text|>"], "eos_token_id": [added["<|eot_id|>"]]},
    }
    tokenizer = {
        "version": "1.0",
        "added_tokens": [
            {"id": number, "content": word, "special": word in GUARD_SPECIALS, "normalized": False}
            | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
            for word, number in added.items()
        ],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    }
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|eot_id|>",
        "chat_template": _TEMPLATE,
    }
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    (directory / "model.safetensors").write_bytes(_zeros(_llama_shapes(config)))


def voxtral(directory: Path) -> None:
    """Voxtral-4B-TTS, its true parameters and voices; the weights are a header that can be read."""
    (directory / "voice_embedding").mkdir(parents=True)
    for voice in VOICES:
        (directory / "voice_embedding" / f"{voice}.pt").write_bytes(b"")
    vocabulary = [
        {"rank": byte, "token_bytes": base64.b64encode(bytes([byte])).decode(), "token_str": None}
        for byte in range(256)
    ]
    tekken = {
        "config": {
            "pattern": r"[\s\S]",
            "num_vocab_tokens": 256,
            "default_vocab_size": 256 + VOXTRAL_SPECIALS,
            "default_num_special_tokens": VOXTRAL_SPECIALS,
            "version": "v7",
        },
        "vocab": vocabulary,
        "special_tokens": [
            {"rank": rank, "token_str": _SPECIAL_NAMES.get(rank, f"<SPECIAL_{rank}>"), "is_control": True}
            for rank in range(VOXTRAL_SPECIALS)
        ],
        "audio": {
            "sampling_rate": 24000,
            "frame_rate": 12.5,
            "audio_encoding_config": {"num_mel_bins": 128, "hop_length": 160, "window_size": 400},
            "voice_num_audio_tokens": dict.fromkeys(VOICES, 67),
        },
    }
    params = {**VOXTRAL_PARAMS, "vocab_size": 256 + VOXTRAL_SPECIALS}
    (directory / "params.json").write_text(json.dumps(params))
    (directory / "tekken.json").write_text(json.dumps(tekken))
    (directory / "consolidated.safetensors").write_bytes(safetensors(["acoustic_transformer.x", "layers.0"]))


def _byte_characters() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(256 + others.index(byte)) for byte in range(256)]


def _llama_shapes(config: dict[str, Any]) -> dict[str, list[int]]:
    hidden, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    squares = {f"self_attn.{name}_proj.weight": [hidden, hidden] for name in "qkvo"}
    norms = {f"{name}_layernorm.weight": [hidden] for name in ("input", "post_attention")}
    inners = {f"mlp.{name}_proj.weight": [inner, hidden] for name in ("gate", "up")}
    layer = {**squares, **norms, **inners, "mlp.down_proj.weight": [hidden, inner]}
    return {
        **{"model.embed_tokens.weight": [vocabulary, hidden], "lm_head.weight": [vocabulary, hidden]},
        "model.norm.weight": [hidden],
        **{
            f"model.layers.{number}.{name}": shape
            for number in range(config["num_hidden_layers"])
            for name, shape in layer.items()
        },
    }


def _zeros(shapes: dict[str, list[int]]) -> bytes:
    """A safetensors file of bfloat16 zeros."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)
