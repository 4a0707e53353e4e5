"""Documents that repeat what the code says are made from it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import generate, picture
from tests.documented import ROOT, documents
from tests.render.matrix import changed_templates
from voicestack.settings.load import parse, typed
from voicestack.settings.model import KEYS
from voicestack.settings.ports import listeners
from voicestack.stack import render

VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "a second card": {"guard_placement": "gpu1"},
    "a guard elsewhere": {"guard_placement": "https://guard.example.org:8443", "agent_whisper_device": "cpu"},
    "no TURN": {"livekit_turn_enabled": False, "livekit_stun_servers": ["stun.example.org:3478"]},
    "the page": {"talk_enabled": True, "site_acme": "internal"},
}
every_variant = pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
PORTS = sorted(key for key in KEYS if re.search(r"_port(_start|_end)?$", key))


@pytest.mark.parametrize("document", ["README.md", "docs/settings.md", "docs/architecture.md"])
def test_what_documents_repeat_is_what_the_generator_makes(document: str) -> None:
    """If this fails: `.venv/bin/python -m docs.generate`."""
    made = generate.parts()[document]
    text = (ROOT / document).read_text()
    assert generate.with_parts(text, made) == text


def test_the_reference_says_what_every_setting_is() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+? \| (.*) \|$", generate.settings_table(), re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(KEYS)
    speak_for_themselves = {"image_livekit", "image_caddy", "talk_client_sha256"}
    assert {name for name, text in rows if not text.strip()} == speak_for_themselves


def test_a_document_without_a_place_is_not_left_as_it_is() -> None:
    with pytest.raises(ValueError, match="no place for ports"):
        generate.with_parts("<!-- ports: made by docs/generate.py -->\n", {"ports": "x"})


@pytest.mark.parametrize("key", PORTS)
def test_another_port_is_another_picture(data: dict[str, Any], key: str) -> None:
    port = data[key] + 10
    assert str(port) not in picture.drawn(parse(data))
    # Not parsed: alone, the end of one range may reach into the next one.
    assert re.search(rf"\b{port}\b", picture.drawn(typed({**data, key: port})[0]))


@every_variant
def test_every_service_and_every_port_is_drawn(data: dict[str, Any], changes: dict[str, Any]) -> None:
    settings = parse({**data, **changes})
    drawn = picture.drawn(settings)
    assert re.findall(r"\+- ([\w-]+) -", drawn) == [name for name in picture.ROLES if name in render.services(settings)]
    world = re.findall(r"\| ([\d-]+)/(tcp|udp) ", drawn)
    here = [(port, "tcp") for port in re.findall(r"\| 127\.0\.0\.1:(\d+) ", drawn)]
    found = sorted((protocol, ports) for ports, protocol in world + here)
    assert found == sorted((each.protocol, each.numbers) for each in listeners(settings))


@pytest.mark.parametrize(
    ("variant", "asked"),
    [
        ("defaults", r"--> Let's Encrypt, acme-v02\.api\.letsencrypt\.org\n.* {5}certificates\n"),
        ("defaults", r"--> Bedrock, eu-central-1\n.* {5}eu\.mistral\.pixtral-large-2502-v1:0\n"),
        ("defaults", r"  \|  sentences to speak +\|  texts to judge\n"),
        ("a guard elsewhere", r"--> guard\.example\.org:8443\n.* {5}texts to judge\n"),
        ("no TURN", r"^ browser --> STUN stun\.example\.org:3478\n"),
    ],
)
def test_whom_the_stack_asks_is_drawn(data: dict[str, Any], variant: str, asked: str) -> None:
    assert re.search(asked, picture.drawn(parse({**data, **VARIANTS[variant]})))
    assert "Let's Encrypt" not in picture.drawn(parse({**data, **VARIANTS["the page"]}))


@every_variant
def test_boxes_are_closed(data: dict[str, Any], changes: dict[str, Any]) -> None:
    """Whatever stands in them: a line that is too long would push the border away."""
    model = data["weights_catalog"]["voxtral-4b-tts"]
    catalog = {**data["weights_catalog"], "a-name-that-is-longer-than-a-box-of-the-picture": model}
    wide = {"voxtral_model": "a-name-that-is-longer-than-a-box-of-the-picture", "weights_catalog": catalog}
    for settings in (parse({**data, **changes}), parse({**data, **wide, **changes})):
        lines = picture.drawn(settings).splitlines()
        tops = [(number, match) for number, line in enumerate(lines) for match in re.finditer(r"\+- .*?-\+", line)]
        assert len(tops) == len(render.services(settings))
        for number, top in tops:
            left, right = top.start(), top.end() - 1
            column = [line[left : left + 1] + line[right : right + 1] for line in lines[number + 1 :]]
            assert set(column[: column.index("++")]) <= {"||", ">|"}


@pytest.mark.parametrize(
    ("template", "right", "wrong", "refusal"),
    [
        ("compose.yml.j2", "services:\n", "services:\n  redis: {image: redis:8}\n", "has redis: give it a role"),
        (
            *("Caddyfile.j2", "127.0.0.1:{{ livekit.port }} {", "127.0.0.1:1 {"),
            "http://127.0.0.1:1 is to be asked, where none of the services listens",
        ),
    ],
    ids=["a service that nobody drew", "an upstream of Caddy's that is none"],
)
def test_what_cannot_be_drawn_is_an_error(
    data: dict[str, Any], tmp_path: Path, template: str, right: str, wrong: str, refusal: str
) -> None:
    text = (render.TEMPLATES / template).read_text()
    changed = changed_templates(tmp_path, template, text.replace(right, wrong))
    with changed, pytest.raises(picture.UndrawnError, match=refusal):
        picture.drawn(parse(data))


def test_the_models_are_those_in_use_and_their_services_name_them(data: dict[str, Any]) -> None:
    drawn, elsewhere = (picture.drawn(parse({**data, **VARIANTS[each]})) for each in ("defaults", "a guard elsewhere"))
    for words in ("speaks: voxtral-4b-tts", "judges: llama-guard-3-1b", "faster-whisper-large-v3 hears on the card"):
        assert words in drawn
    kept = r"voxtral-4b-tts 8\.0 GB, llama-guard-3-1b 3\.0 GB, faster-whisper-large-v3\s+3\.1 GB;"
    assert re.search(kept, drawn)
    assert "llama-guard" not in elsewhere
    assert re.search(r"1 call at once;.*\n.*faster-whisper-large-v3 hears on the CPU", elsewhere)


@every_variant
def test_a_cards_parts_are_the_card(data: dict[str, Any], changes: dict[str, Any]) -> None:
    bars = re.findall(r"GPU \d: .+, ([\d.]+) GiB\n +\[ (.+) \]", picture.drawn(parse({**data, **changes})))
    assert len(bars) == (2 if changes.get("guard_placement") == "gpu1" else 1)
    for total, parts in bars:
        figures = [float(part) for part in re.findall(r"[\d.]+(?= \||$)", parts)]
        assert sum(figures) == pytest.approx(float(total), abs=0.05)


def findings() -> dict[str, set[int]]:
    """Test -> the findings that its name says it is about."""
    names = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    tests = re.findall(r"def (test_finding((?:_(?:and_)?\d\d)+)_\w+)\(", names)
    return {test: {int(number) for number in re.findall(r"\d\d", numbers)} for test, numbers in tests}


def runbook_rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "runbook.md").read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]


def test_the_runbook_tells_of_every_finding_and_of_every_test_of_it() -> None:
    rows = {int(row[0]): row for row in runbook_rows() if row[0].isdigit()}
    assert list(rows) == list(range(1, 19))
    assert set().union(*findings().values()) == set(rows)
    assert {len(row) for row in rows.values()} == {6}
    for number, row in rows.items():
        assert set(re.findall(r"`(\w+)`", row[-1])) == {test for test, about in findings().items() if number in about}


def test_what_the_runbook_quotes_is_what_this_repository_says() -> None:
    sources = [
        *(
            path
            for part in ("voicestack", "on_host")
            for kind in ("*.py", "*.sh")
            for path in (ROOT / part).rglob(kind)
        ),
        *(ROOT / "agent").glob("voice_agent/*"),
    ]
    text = "\n".join(path.read_text() for path in sources if path.is_file())
    # A message that goes on in the next line is one message.
    said = re.sub(r"\"\n\s*f?\"", "", text)
    cells = [cell for row in runbook_rows() for cell in (row[4:5] if row[0].isdigit() else row)]
    quoted = [phrase for cell in cells for phrase in re.findall(r"\"(.+?)\"", re.sub(r"`[^`]*`", "", cell))]
    assert len(quoted) > 60
    assert [phrase for phrase in quoted if not all(part.strip() in said for part in phrase.split("..."))] == []


def test_the_readme_is_short_and_begins_with_what_is_unproven_and_what_the_voice_may_not_be_used_for() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 130
    beginning = " ".join(lines[:10])
    assert "Never run on real hardware" in beginning
    for each in ("card", "AWS", "Bedrock", "Hub", "Voxtral-4B-TTS-2603", "CC-BY-NC", "No commercial use"):
        assert each in beginning


def test_the_readme_lists_every_deploy() -> None:
    deploys = {
        path.name for path in (ROOT / "deploys").glob("*.py") if "pyinfra.context import host" in path.read_text()
    }
    rows = re.findall(r"^\| `deploys/(\w+\.py)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(deploys)


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document not in reached:
            reached.add(document)
            waiting += [
                (document.parent / link).resolve() for link in re.findall(r"\]\(([^)#:]+\.md)", document.read_text())
            ]
    # The decisions' directory is linked as a whole, the agent's README is the image's own.
    apart = {ROOT / "agent" / "README.md", *(ROOT / "docs" / "decisions").iterdir()}
    assert {*documents()} - apart - reached == set()


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda path: path.stem)
def test_a_decision_says_what_was_chosen_in_which_context_and_what_would_change_it(path: Path) -> None:
    text = path.read_text()
    assert [word for word in ("Context", "Choice", "hat would change it") if word not in text] == []


def anchors(document: Path) -> set[str]:
    """What a link into it may name, as GitHub makes it of headings."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", document.read_text(), flags=re.M | re.S), re.MULTILINE
    )
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_points_to_is_there(document: Path) -> None:
    text = document.read_text()
    links = re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)", text)
    places = [(document.parent / link if link else document, anchor) for link, anchor in links]
    assert [
        str(place) for place, anchor in places if not place.exists() or (anchor and anchor not in anchors(place))
    ] == []
    # A file of the repository in a command or in a sentence; "x.{py,sh}" are two. agent/ has commands of its own.
    top = "deploys|voicestack|on_host|docs|tests|inventories|group_data|templates|benchmarks"
    named = re.findall(rf"(?<![\w/.-])((?:{top})/[\w/.-]*(?:\w|\{{[\w,]+\}}))", text)
    roots = (ROOT, ROOT / "agent", document.parent)
    assert [path for path in named if "{" not in path and not any((each / path).exists() for each in roots)] == []
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_nothing_cites_what_a_reader_of_this_repository_does_not_have() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    sheet = re.compile("fact" + r"s(?:: [\w-]+\.md|, section)|hand" + "over", re.IGNORECASE)
    texts = {name: (ROOT / name).read_text(errors="replace") for name in listed if (ROOT / name).is_file()}
    assert sorted(name for name, text in texts.items() if sheet.search(text)) == []


def test_make_alone_lists_every_target() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^make ([\w-]+) +\S", listed, re.MULTILINE)) == {*phony.split()} - {"$(E2E)"}


def test_before_a_commit_runs_what_make_lint_runs() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (hook,) = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert (hook["entry"], hook["always_run"], hook["pass_filenames"]) == ("make lint", True, False)
