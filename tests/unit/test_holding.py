"""New connections wait while a server reloads: the rules come, and they go whatever happens."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from on_host.start import holding


class Kernel:
    """The rules that are there, as `iptables -I` and `-D` left them; `refuses` is what a program says instead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ipv6: bool = True, refuses: str = "") -> None:
        self.rules: list[list[str]] = []
        self.refuses = refuses
        monkeypatch.setattr(subprocess, "run", self.run)
        monkeypatch.setattr(time, "sleep", self.sleep)
        monkeypatch.setattr(holding, "IPV6", Path("/" if ipv6 else "/nowhere"))
        self.slept: list[float] = []

    def run(self, words: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        if self.refuses == words[0]:
            return subprocess.CompletedProcess(words, 4, "", f"{words[0]}: no such table\n")
        rule = [words[0], *words[3:]]
        if "-I" in words:
            self.rules.append(rule)
        else:
            self.rules.remove(rule)
        return subprocess.CompletedProcess(words, 0, "", "")

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def test_first_packets_of_new_connections_are_dropped_meanwhile_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch)
    with holding.held([443, 80]):
        held = [(rule[0], rule[rule.index("--dport") + 1], "--syn" in rule, rule[-1]) for rule in kernel.rules]
        ends = {rule[rule.index("--datestop") + 1] for rule in kernel.rules}
        assert kernel.slept == [holding.SETTLE_S]
    assert held == [(program, port, True, "DROP") for program in ("iptables", "ip6tables") for port in ("443", "80")]
    assert all(len(end) == len("2026-11-23T17:00:05") for end in ends)
    assert kernel.rules == []


def test_a_reload_that_fails_leaves_no_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, ipv6=False)
    seen: list[str] = []

    def fail() -> None:
        with holding.held([443]):
            seen.extend(rule[0] for rule in kernel.rules)
            raise subprocess.TimeoutExpired("caddy reload", 60)

    with pytest.raises(subprocess.TimeoutExpired):
        fail()
    assert seen == ["iptables"]
    assert kernel.rules == []


def test_a_host_that_cannot_hold_them_reloads_all_the_same_and_says_what_that_means(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = Kernel(monkeypatch, refuses="ip6tables")
    with holding.held([443, 80]):
        assert len(kernel.rules) == 2
    assert kernel.rules == []
    assert capsys.readouterr().out.count("not held (ip6tables: no such table)") == 1


def test_a_host_without_iptables_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with holding.held([443]):
        pass
    assert "No such file or directory: 'iptables'" in capsys.readouterr().out


def test_a_service_without_ports_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch)
    with holding.held([]):
        assert kernel.rules == []
    assert sum(kernel.slept) == 0
