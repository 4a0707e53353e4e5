"""Only the model that is meant passes, and a refusal says what was found."""

import json
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from on_host.weights.architecture import (
    DOCUMENTS,
    FIRST_BYTES,
    GUARD_SHAPE,
    HEADS,
    MAX_HEADER,
    VOXTRAL_SHAPE,
    Evidence,
    ctranslate2_spec,
    head_length,
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
        documents={path: files[path].decode() for path in DOCUMENTS[kind] if path in files},
        heads={
            path: data[: head_length(path, data[:FIRST_BYTES])] for path, data in files.items() if path == HEADS[kind]
        },
    )


REAL = {kind: evidence(kind, files) for kind, files in MODELS.items()}


def changed(kind: str, **values: object) -> dict[str, bytes]:
    """A model with other values in the document that describes it."""
    path = DOCUMENTS[kind][0]
    return {**MODELS[kind], path: json.dumps({**json.loads(MODELS[kind][path]), **values}).encode()}


def speaking(**values: object) -> dict[str, bytes]:
    """Voxtral with another description of what it speaks with."""
    return changed("voxtral_tts", multimodal={**content.VOXTRAL_PARAMS["multimodal"], **values})


def tensors(kind: str, table: content.Tensors, without: str) -> dict[str, bytes]:
    """A model without some of its tensors."""
    kept = {name: shape for name, shape in table.items() if not name.startswith(without)}
    return {**MODELS[kind], HEADS[kind]: content.safetensors(kept, 1)}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("other", [*MODELS, "mini"])
def test_the_model_that_is_meant_passes_and_no_other(kind: str, other: str) -> None:
    files = content.mini() if other == "mini" else MODELS[other]
    verdict = judge(kind, evidence(kind, files))
    assert verdict.ok == (kind == other), verdict.message("repo")


ALONE = {
    "voxtral_tts": {
        'params.json model_type: expected "voxtral_tts", found "voxtral"': changed("voxtral_tts", model_type="voxtral"),
        "params.json multimodal.audio_tokenizer_args.voice: expected a table of voices, found {}": speaking(
            audio_tokenizer_args={"voice": {}}
        ),
        "voice_embedding/: expected a .pt file for each voice of params.json, found none for de_female": {
            path: data for path, data in MODELS["voxtral_tts"].items() if path != "voice_embedding/de_female.pt"
        },
        "params.json multimodal.whisper_model_args: expected none, found one (a model that listens)": speaking(
            whisper_model_args={}
        ),
        "config.json: expected no such file in the repository, found architectures []": {
            **MODELS["voxtral_tts"],
            "config.json": b'{"architectures": []}',
        },
        **{
            f"consolidated.safetensors: expected tensors named {prefix}*, found none": tensors(
                "voxtral_tts", content.VOXTRAL_TENSORS, without=prefix
            )
            for prefix in ("acoustic_transformer.", "audio_tokenizer.", "mm_audio_embeddings.")
        },
    },
    "llama_guard_3": {
        'config.json architectures: expected ["LlamaForCausalLM"], found ["MistralForCausalLM"]': changed(
            "llama_guard_3", architectures=["MistralForCausalLM"]
        ),
        # Llama-3.2-1B has the same shape.
        "config.json tie_word_embeddings: expected false, found true": changed(
            "llama_guard_3", tie_word_embeddings=True
        ),
        "model.safetensors: expected a tensor lm_head.weight, found none": tensors(
            "llama_guard_3", content.GUARD_TENSORS, without="lm_head"
        ),
    },
    "whisper_ct2": {
        "config.json suppress_ids: expected a list (a CTranslate2 Whisper configuration), found 1": changed(
            "whisper_ct2", suppress_ids=1
        ),
        'model.bin header: expected "WhisperSpec", found "TransformerSpec"': {
            **WHISPER,
            "model.bin": struct.pack("<IH", 6, 16) + b"TransformerSpec\0",
        },
    },
}


@pytest.mark.parametrize(("kind", "finding"), [(kind, each) for kind, wrong in ALONE.items() for each in wrong])
def test_each_thing_that_is_wrong_is_a_finding_alone(kind: str, finding: str) -> None:
    verdict = judge(kind, evidence(kind, ALONE[kind][finding]))
    assert [str(each) for each in verdict.findings] == [finding]


@pytest.mark.parametrize(("kind", "shape"), [("voxtral_tts", VOXTRAL_SHAPE), ("llama_guard_3", GUARD_SHAPE)])
def test_every_dimension_counts_by_value_and_type(kind: str, shape: dict[str, int]) -> None:
    for key, value in shape.items():
        for other in (None, True, value + 1, str(value), float(value), [value]):
            verdict = judge(kind, evidence(kind, changed(kind, **{key: other})))
            assert [each.what for each in verdict.findings] == [f"{DOCUMENTS[kind][0]} {key}"]


REQUIRED = {
    "voxtral_tts": ("params.json", "consolidated.safetensors", "tekken.json", "voice_embedding/de_female.pt"),
    "llama_guard_3": ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    "whisper_ct2": ("config.json", "model.bin", "tokenizer.json", "vocabulary.json"),
}


@pytest.mark.parametrize(("kind", "path"), [(kind, path) for kind, paths in REQUIRED.items() for path in paths])
def test_a_file_that_is_listed_but_left_out_is_a_finding(kind: str, path: str) -> None:
    verdict = judge(kind, replace(REAL[kind], wanted=REAL[kind].wanted - {path}))
    (finding,) = verdict.findings
    assert finding.what.startswith(path.partition("/")[0])


@pytest.mark.parametrize("kind", ["voxtral_tts", "llama_guard_3"])
def test_a_truncated_weights_file_is_a_finding(kind: str) -> None:
    files = {**MODELS[kind], HEADS[kind]: MODELS[kind][HEADS[kind]][:-1]}
    assert [each.what for each in judge(kind, evidence(kind, files)).findings] == [f"size of {HEADS[kind]}"]


def test_the_model_that_listens_is_named() -> None:
    message = judge("voxtral_tts", evidence("voxtral_tts", content.mini())).message("x/y@abc")
    assert message.startswith("x/y@abc is not a voxtral_tts model:")
    assert 'model_type: expected "voxtral_tts", found nothing' in message
    assert "Voxtral-Mini-3B-2507" in message
    assert "Meant is mistralai/Voxtral-4B-TTS-2603." in message


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
    first = DOCUMENTS[kind][0]
    if kind == "whisper_ct2" and '"suppress_ids": [' in document:
        return  # Whisper's configuration says little: its header decides
    verdict = judge(kind, replace(real, documents={first: document}))
    assert not verdict.ok
    assert verdict.message("repo")


@settings(deadline=None)  # a busy machine is not a failure
@given(kind=st.sampled_from(sorted(MODELS)), value=JSON, path=st.integers(0, 20))
def test_any_one_value_replaced_never_crashes(kind: str, value: object, path: int) -> None:
    first = DOCUMENTS[kind][0]
    document: dict[str, Any] = json.loads(MODELS[kind][first])
    document[list(document)[path % len(document)]] = value
    other = {**REAL[kind].documents, first: json.dumps(document)}
    assert judge(kind, replace(REAL[kind], documents=other)).message("repo")


@settings(deadline=None)  # a busy machine is not a failure
@given(kind=st.sampled_from(sorted(MODELS)), head=st.binary(max_size=200) | JSON.map(json.dumps).map(str.encode))
def test_arbitrary_headers_never_crash_and_never_pass(kind: str, head: bytes) -> None:
    for bytes_ in (head, struct.pack("<Q", len(head)) + head):
        if ctranslate2_spec(bytes_) == "WhisperSpec":
            continue
        assert not judge(kind, replace(REAL[kind], heads={HEADS[kind]: bytes_})).ok


def test_deep_nesting_is_refused() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    assert not judge("voxtral_tts", replace(REAL["voxtral_tts"], documents={"params.json": deep})).ok
