"""Every command of the documents is run by a test or by `make test` itself, or its document says why it is not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.documented import ROOT, commands, commands_in, documented_command

MENTIONED = {
    # What something else does, or must not do: no reader is told to type it.
    *("apt-mark hold", "apt-mark unhold", "caddy reload", "chmod 600", "cp -a", "docker compose up"),
    *("docker image prune", "docker logs", "git log", "git revert", "hf download", "hf download --local-dir"),
    *("livekit-server --dev", "pyinfra --dry", "python -m voice_agent invite", "python -m voice_agent bedrock"),
    *("start.py --check", "sync -f", "systemctl daemon-reload"),
    # What a program prints, or a file has in it.
    *("no module or parameter named 'acoustic_transformer'", "stream_close_delay 24h", "warming up sampler"),
    "unrecognized arguments: --stage-overrides",
}
"""What looks like a command, and is none for a reader."""


def typed_by_tests() -> dict[str, set[str]]:
    """Command -> the files of tests that take it from the documents."""
    found: dict[str, set[str]] = {}
    for path in {*(ROOT / "tests").rglob("*.py")} - {Path(__file__)}:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "documented_command":
                assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}: write the command out"
                found.setdefault(str(node.args[0].value), set()).add(path.name)
    return found


def made_by(target: str) -> tuple[set[str], str]:
    """The targets of the Makefile that this one needs, itself among them, and what all of them run."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    makefile = makefile.replace("$(E2E)", "e2e-debian e2e-ubuntu e2e-spare")
    rules = dict[str, tuple[str, str]]()
    for names, needs, recipe in re.findall(r"^([\w$(). /-]+):(?!=) *([^:\n]*)\n((?:\t.*\n)*)", makefile, re.MULTILINE):
        for name in names.split():
            rules[name] = needs, recipe
    found, ran, waiting = set[str](), "", [target]
    while waiting:
        name = waiting.pop()
        if name in found or name not in rules:
            continue
        found.add(name)
        needs, recipe = rules[name]
        ran += recipe.replace("$(PYTHON)", ".venv/bin/python").replace("$$", "$")
        again = " ".join(re.findall(r"\$\(MAKE\)(.*)", recipe))
        waiting += [*needs.split(), *again.split()]
    return found, ran


def is_run_by_make_test(command: str) -> bool:
    """What .ci/run runs: a target of the Makefile, a line of one, or a module of an end-to-end lane."""
    targets, ran = made_by("test")
    if target := re.fullmatch(r"make ([\w-]+)", command):
        return target[1] in targets
    if module := re.fullmatch(r"\.venv/bin/python -m pytest (?:-rP )?tests/e2e/test_(\w+)\.py", command):
        lanes = re.findall(r"^e2e-\w+: LANE := (.*)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        return module[1] in " ".join(lanes).split()
    return command in ran


def test_ci_runs_make_test() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"
    assert {"setup", "check", "lint", "unit", "agent-test", "render-test", "e2e-debian"} <= made_by("test")[0]
    assert not {"demo", "demo-down", "lock"} & made_by("test")[0]


def test_every_command_is_run_or_its_document_says_why_not() -> None:
    typed = typed_by_tests()
    wanted = [each for each in commands() if each.command not in MENTIONED]
    assert len(wanted) > 100
    nobody = [
        each for each in wanted if not (each.untested or each.command in typed or is_run_by_make_test(each.command))
    ]
    assert nobody == [], "type it in a test (tests/documented.py), or say in the document: (no test runs it: why)"


def test_no_command_is_called_untested_that_a_test_runs() -> None:
    typed = typed_by_tests()
    assert [
        each for each in commands() if each.untested and (each.command in typed or is_run_by_make_test(each.command))
    ] == []


def test_what_tests_type_stands_in_a_document() -> None:
    assert sorted(typed_by_tests().keys() - {each.command for each in commands()}) == []


def test_what_is_only_mentioned_is_still_there() -> None:
    assert MENTIONED - {each.command for each in commands()} == set()


def test_commands_are_found_wherever_they_stand() -> None:
    text = """
Say `make tea` or `docker ps`; `NAME` and `key = "value"` are none, `A_B=... age -d \\| tar` is one.
`aws sell` (no test
runs it: it costs money), `make
two`.

| `cat x` (no test runs it: no cat) | `make three` |

```
make four    # boils water
make five    # no test runs it: it takes long
# no test runs it: nobody is there
ssh HOST a \\
    b
make six |
    c
```

```json
{"no": "command"}
```

    make seven  # indented
"""
    found = commands_in(text)
    assert [command for command, untested in found if untested] == ["make five", "ssh HOST a b", "aws sell", "cat x"]
    assert [command for command, untested in found if not untested] == [
        *("make four", "make six | c", "make seven"),
        *("make tea", "docker ps", "A_B=... age -d | tar", "make two", "make three"),
    ]


def test_a_test_types_what_a_document_says_and_nothing_else() -> None:
    assert documented_command("python -m voice_agent invite --minutes N", {"N": "5"}).endswith("--minutes 5")
    with pytest.raises(LookupError, match="no document says: make tea"):
        documented_command("make " + "tea")
