"""Only the model that is meant passes, and a refusal says what was found."""

import json
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from on_host.weights.architecture import (
    FIRST_BYTES,
    MAX_HEADER,
    Evidence,
    ctranslate2_spec,
    documents_needed,
    head_length,
    heads_needed,
    judge,
    safetensors_header,
)
from tests.lab.hub import content

WHISPER_HEAD = struct.pack("<IH", 6, 12) + b"WhisperSpec\0" + b"\3\0\0\0\x94\0\0\0"
WHISPER = {
    "config.json": content.text({"suppress_ids": [1, 2], "alignment_heads": [[1, 0]]}),
    "model.bin": WHISPER_HEAD,
    "tokenizer.json": b"{}",
    "vocabulary.json": b"[]",
}
MODELS = {"voxtral_tts": content.voxtral(), "llama_guard_3": content.guard(), "whisper_ct2": WHISPER}


def evidence(kind: str, files: dict[str, bytes]) -> Evidence:
    """What fetch.py would read of these files."""
    return Evidence(
        listing={path: len(data) for path, data in files.items()},
        wanted=frozenset(files),
        documents={path: files[path].decode() for path in documents_needed(kind) if path in files},
        heads={
            path: files[path][: head_length(path, files[path][:FIRST_BYTES])]
            for path in heads_needed(kind)
            if path in files
        },
    )


REAL = {kind: evidence(kind, files) for kind, files in MODELS.items()}


def changed(data: bytes, **values: object) -> bytes:
    return json.dumps({**json.loads(data), **values}).encode()


@pytest.mark.parametrize("kind", MODELS)
def test_the_model_that_is_meant_passes(kind: str) -> None:
    verdict = judge(kind, evidence(kind, MODELS[kind]))
    assert verdict.ok, verdict.message("repo")


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("other", [*MODELS, "mini"])
def test_no_other_model_passes(kind: str, other: str) -> None:
    files = content.mini() if other == "mini" else MODELS[other]
    assert judge(kind, evidence(kind, files)).ok == (kind == other)


def test_the_model_that_listens_is_named() -> None:
    message = judge("voxtral_tts", evidence("voxtral_tts", content.mini())).message("x/y@abc")
    assert message.startswith("x/y@abc is not a voxtral_tts model:")
    assert 'model_type: expected "voxtral_tts", found nothing' in message
    assert "Voxtral-Mini-3B-2507" in message
    assert "Meant is mistralai/Voxtral-4B-TTS-2603." in message


def test_a_voice_without_its_file_is_named() -> None:
    files = dict(MODELS["voxtral_tts"])
    del files["voice_embedding/de_female.pt"]
    verdict = judge("voxtral_tts", evidence("voxtral_tts", files))
    assert [str(f) for f in verdict.findings] == [
        "voice_embedding/: expected a .pt file for each voice of params.json, found none for de_female"
    ]


def test_a_file_that_is_listed_but_left_out_is_a_finding() -> None:
    whole = evidence("voxtral_tts", MODELS["voxtral_tts"])
    part = replace(whole, wanted=whole.wanted - {"tekken.json"})
    assert [f.what for f in judge("voxtral_tts", part).findings] == ["tekken.json"]


def test_a_truncated_weights_file_is_a_finding() -> None:
    files = dict(MODELS["llama_guard_3"])
    files["model.safetensors"] = files["model.safetensors"][:-1]
    findings = judge("llama_guard_3", evidence("llama_guard_3", files)).findings
    assert [f.what for f in findings] == ["size of model.safetensors"]


@pytest.mark.parametrize("key", ["dim", "n_layers", "n_heads", "n_kv_heads"])
@pytest.mark.parametrize("value", [None, True, 0, "3072", 3072.5, [3072]])
def test_every_voxtral_dimension_counts(key: str, value: object) -> None:
    files = dict(MODELS["voxtral_tts"])
    files["params.json"] = changed(files["params.json"], **{key: value})
    assert not judge("voxtral_tts", evidence("voxtral_tts", files)).ok


def test_plain_llama_of_the_same_shape_is_not_the_guard() -> None:
    files = dict(MODELS["llama_guard_3"])
    tensors = {name: shape for name, shape in content.GUARD_TENSORS.items() if name != "lm_head.weight"}
    files["model.safetensors"] = content.safetensors(tensors, 1)
    files["config.json"] = changed(files["config.json"], tie_word_embeddings=True)
    findings = judge("llama_guard_3", evidence("llama_guard_3", files)).findings
    assert [f.what for f in findings] == ["config.json tie_word_embeddings", "model.safetensors"]


def test_another_ctranslate2_model_is_not_whisper() -> None:
    files = {**WHISPER, "model.bin": struct.pack("<IH", 6, 16) + b"TransformerSpec\0"}
    findings = judge("whisper_ct2", evidence("whisper_ct2", files)).findings
    assert [str(f) for f in findings] == ['model.bin header: expected "WhisperSpec", found "TransformerSpec"']


def test_a_header_is_never_read_beyond_its_bound() -> None:
    assert head_length("a.safetensors", struct.pack("<Q", 2**63)) == 8 + MAX_HEADER
    assert safetensors_header(struct.pack("<Q", MAX_HEADER + 1) + b"{" * 100) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=12,
)
KEYS = ["model_type", "multimodal", "architectures", "dim", "n_layers", "hidden_size", "suppress_ids", "head_dim"]
DOCUMENT = (JSON | st.dictionaries(st.sampled_from(KEYS), JSON)).map(json.dumps) | st.text(max_size=50)


@settings(deadline=None)  # a busy machine is not a failure
@given(kind=st.sampled_from(sorted(MODELS)), document=DOCUMENT)
def test_arbitrary_json_never_crashes_and_never_passes(kind: str, document: str) -> None:
    real = REAL[kind]
    first = documents_needed(kind)[0]
    if kind == "whisper_ct2" and '"suppress_ids": [' in document:
        return  # Whisper's configuration says little: its header decides
    verdict = judge(kind, replace(real, documents={first: document}))
    assert not verdict.ok
    assert verdict.message("repo")


@settings(deadline=None)  # a busy machine is not a failure
@given(kind=st.sampled_from(sorted(MODELS)), value=JSON, path=st.integers(0, 20))
def test_any_one_value_replaced_never_crashes(kind: str, value: object, path: int) -> None:
    first = documents_needed(kind)[0]
    document: dict[str, Any] = json.loads(MODELS[kind][first])
    document[list(document)[path % len(document)]] = value
    other = {**REAL[kind].documents, first: json.dumps(document)}
    assert judge(kind, replace(REAL[kind], documents=other)).message("repo")


@settings(deadline=None)  # a busy machine is not a failure
@given(kind=st.sampled_from(sorted(MODELS)), head=st.binary(max_size=200) | JSON.map(json.dumps).map(str.encode))
def test_arbitrary_headers_never_crash_and_never_pass(kind: str, head: bytes) -> None:
    path = heads_needed(kind)[0]
    for bytes_ in (head, struct.pack("<Q", len(head)) + head):
        if ctranslate2_spec(bytes_) == "WhisperSpec":
            continue
        assert not judge(kind, replace(REAL[kind], heads={path: bytes_})).ok


def test_deep_nesting_is_refused() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    assert not judge("voxtral_tts", replace(REAL["voxtral_tts"], documents={"params.json": deep})).ok
