"""Which releases of vllm-omni are accepted, and why the others are not."""

from __future__ import annotations

import pytest

from voicestack.settings import omni


@pytest.mark.parametrize("number", omni.RELEASES)
@pytest.mark.parametrize("digest", ["", f"@sha256:{'a' * 64}"])
def test_a_release_is_told_by_its_tag_with_or_without_a_digest(number: str, digest: str) -> None:
    image = f"registry.example.org:5000/vllm/vllm-omni:v{number}{digest}"
    assert omni.refusal(image) is None
    assert omni.release_of(image) is omni.RELEASES[number]


def test_0_18_has_the_old_schema_and_the_others_the_new_one() -> None:
    old = {number for number, release in omni.RELEASES.items() if release.schema == "stage_args"}
    assert old == {"0.18.0"}
    flags = {(release.schema, release.flag) for release in omni.RELEASES.values()}
    assert flags == {("stage_args", "--stage-configs-path"), ("stages", "--deploy-config")}


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("v0.24.0", "is broken for Voxtral: it speaks something unrelated to the text"),
        ("v0.16.0", "does not know Voxtral-4B-TTS"),
        ("v0.18.1", "was not compared with that of vllm-omni 0.18.1"),
        ("v0.28.0", "was not compared with that of vllm-omni 0.28.0"),
        ("v0.32.0", "was not compared with that of vllm-omni 0.32.0"),
        ("latest", "latest names no release"),
        ("v0.30.0rc1", "v0.30.0rc1 names no release"),
        ("v0.30", "v0.30 names no release"),
    ],
)
def test_other_tags_are_refused_with_the_reason_and_the_fix(tag: str, reason: str) -> None:
    refused = omni.refusal(f"vllm/vllm-omni:{tag}@sha256:{'a' * 64}") or ""
    assert reason in refused
    assert "use a tag of v0.18.0, v0.30.0" in refused


def test_plain_vllm_cannot_serve_voxtral() -> None:
    assert "acoustic_transformer" in (omni.refusal("vllm/vllm-openai:v0.18.0") or "")
