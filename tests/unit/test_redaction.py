"""What must not be in public: found where it is, left alone where it only looks so.

Planted values are put together here, so that the check of this repository does not find them in this file.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from on_host.redaction import ADDRESS, Allowed, find, redact
from tests.redaction_check import ALLOWED_FILE, ROOT, check, main, read_allowed, tracked

ADDRESS_1 = ".".join(["3", "120", "7", "9"])
ACCOUNT = "9876" * 3
PLANTED = {
    "i-" + "0abc" * 4 + "d": "instance id",
    "sg-" + "0123" * 2: "security group id",
    "sg-" + "0abc" * 4 + "d": "security group id",
    f"arn:aws:iam::{ACCOUNT}:role/x": "account number",
    f"Account ID: {ACCOUNT}": "account number",
    f"{ACCOUNT}.dkr.ecr.eu-central-1": "account number",
    "prod-key" + ".pem": "key file name",
    "~/.ssh/id_" + "rsa": "key file name",
    "hf_" + "aB3" * 11: "Hugging Face token",
    "AKIA" + "Z2" * 8: "AWS access key",
    "aws_secret_access_key = " + "k9/+" * 10: "secret key",
    "LIVEKIT_API_SECRET=" + "s" * 40: "secret key",
    "APIabcdefg" + ": " + "s" * 40: "secret key",
    "Bearer ey" + "J" + "abcdefghij." * 3: "signed token",
    "gh" + "p_" + "a1" * 18: "GitHub token",
    "-----BEGIN OPENSSH" + " PRIVATE KEY-----": "private key",
    "-----BEGIN" + " PRIVATE KEY-----": "private key",
    "AGE-SECRET-" + "KEY-1" + "QZ7" * 19: "age identity",
    ADDRESS_1: ADDRESS,
    "10.1." + "2.3": ADDRESS,
    f"https://{ADDRESS_1}:8443/x": ADDRESS,
    f"address={ADDRESS_1}": ADDRESS,
    "ec2-" + ADDRESS_1.replace(".", "-") + ".eu-central-1.compute.amazonaws.com": ADDRESS,
    "2a05:d014" + "::7": ADDRESS,
    "2A05:D014" + "::A7": ADDRESS,
    "fe80" + "::1:2": ADDRESS,
}


@pytest.mark.parametrize(("text", "kind"), PLANTED.items(), ids=lambda value: value[:20])
def test_each_kind_is_found_and_redacted(text: str, kind: str) -> None:
    (finding,) = find(f"first\n  it is {text}, said\nlast")
    assert (finding.kind, finding.line) == (kind, 2)
    redacted = redact(f"it is {text}, said")
    assert f"[{kind}]" in redacted
    assert find(redacted) == []
    for piece in (ACCOUNT, ADDRESS_1, "k9/+", "ssss", "QZ7"):
        assert piece not in redacted


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.10 198.51.100.4 203.0.113.9 198.18.0.1 2001:db8::1 127.0.0.1 0.0.0.0 169.254.169.254 fd00:ec2::254",
        "255.255.255.255 ::1 [::ffff:127.0.0.1] 224.0.0.1",
        "nvidia-cublas==12.4.5.8 version 1.2.3.4.5 v10.1.2.3 0ubuntu0.24.04.1 12:34:56 02:42:ac:11:00:02",
        "samples[::2] a::before { } Debug::NoLocking arn:aws:bedrock:eu-central-1::foundation-model/x std::dead",
        "arn:aws:iam::123456789012:role/x account 111122223333 i-1234567890abcdef0",
        "sha256:" + "0123456789abcdef" * 4 + " 202604241530 1764000000000 size=987698769876",
        "AKIAIOSFODNN7EXAMPLE hf_hub_url hf_... HF_TOKEN=hf_xxx eyJ0 *.pem spam",
        "LIVEKIT_API_SECRET=$secret LIVEKIT_API_KEY=APIx wi-12345678 msg-12345678",
    ],
)
def test_what_only_looks_so_is_no_finding(text: str) -> None:
    assert find(text) == []
    assert redact(text) == text


def test_places_are_those_of_an_editor() -> None:
    assert [(each.line, each.column) for each in find(f"{ADDRESS_1}\n\n ab {ADDRESS_1} {ADDRESS_1}")] == [
        (1, 1),
        (3, 5),
        (3, 15),
    ]


@given(st.lists(st.sampled_from([*PLANTED, "word", "\n", " ", "=", "-", ".", ":"]), max_size=8))
def test_nothing_planted_survives_redaction(words: list[str]) -> None:
    """With a blank between the words: joined, they are other words."""
    text = " ".join(words)
    assert len(find(text)) >= sum(word in PLANTED for word in words)
    assert not [word for word in words if word in PLANTED and word in redact(text)]


def test_an_allowed_value_or_network_is_no_finding() -> None:
    allowed = read_allowed(f"# a remark\n\n{ADDRESS_1}  # made up\n10.1.2.0/24  # a laboratory\n")
    assert allowed.values == {ADDRESS_1}
    assert find(f"{ADDRESS_1} 10.1." + "2.3", allowed) == []
    assert len(find("10.1." + "3.3", allowed)) == 1


def test_an_allowed_value_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="line 2: no reason"):
        read_allowed(f"# a remark\n{ADDRESS_1}\n")


def test_the_check_names_places_and_no_values(tmp_path: Path) -> None:
    (tmp_path / ("prod" + ".pem")).write_text(f"x {ADDRESS_1}\n")
    (tmp_path / "picture").write_bytes(b"\0" + ADDRESS_1.encode())
    name = "prod" + ".pem"
    lines = list(check(tmp_path, [name, "picture", "deleted"], Allowed()))
    assert lines == [f"{name}: the file's name has a key file name", f"{name}:1:3: {ADDRESS}"]


def test_a_finding_is_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").write_text("nothing\n")
    assert main([str(tmp_path / "log")]) == 0
    (tmp_path / "log").write_text(f"{ADDRESS_1}\n")
    assert main([str(tmp_path / "log")]) == 1
    assert ADDRESS_1 not in capsys.readouterr().out


def test_this_repository_has_nothing_to_redact(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0, capsys.readouterr().out


def test_every_allowed_value_is_still_in_use() -> None:
    allowed = read_allowed(ALLOWED_FILE.read_text(encoding="utf-8"))
    files = [ROOT / name for name in tracked(ROOT) if name != str(ALLOWED_FILE.relative_to(ROOT))]
    text = "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file())
    assert sorted(value for value in allowed.values if value not in text) == []


def test_the_local_env_file_is_ignored_by_git() -> None:
    assert subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=ROOT, check=False).returncode == 0
