"""New connections wait while a server reloads its configuration. Runs on the host as root; standard library only.

A Go server that shuts down answers no request that arrives from then on, not even on a connection that it accepted
before (golang/go#65802), and at a reload Caddy shuts down the server of the old configuration. So the first packet of a
new connection is dropped from shortly before the reload until shortly after it: the connections that were accepted can
send what they were opened for, and the kernel of whoever opens one now asks again after a second (RFC 6298, 2.1).
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from on_host.start.waiting import say

SETTLE_S = 0.5
"""How long an accepted connection has for its first request: two round trips of 250 ms, TLS 1.3's and its own."""

AFTERWARDS_S = 0.1
"""Caddy answers when it has told its old servers to stop; this is theirs to close their sockets."""

EXPIRY_S = 5
"""The rule's own end, kept by the kernel: a program that is killed here shuts nobody out."""


IPV6 = Path("/proc/net/if_inet6")
"""Is there unless IPv6 is switched off, and then there is no table for its rules either."""


@contextmanager
def held(ports: Sequence[int]) -> Iterator[None]:
    """Hold new TCP connections to these ports meanwhile; where that cannot be done, say what it means and go on."""
    rules = [_rule(program, port) for program in _programs() for port in ports]
    problems = {rule: _run(rule) for rule in rules}
    made = [rule for rule, problem in problems.items() if not problem]
    if len(made) < len(rules):
        why = "; ".join(sorted({problem for problem in problems.values() if problem}))
        say(f"new connections are not held ({why}): a request on one that is opened just now may find no answer")
    try:
        time.sleep(SETTLE_S if made else 0)
        yield
        time.sleep(AFTERWARDS_S if made else 0)
    finally:
        for rule in made:
            _run(tuple("-D" if word == "-I" else word for word in rule))


def _programs() -> list[str]:
    return ["iptables", "ip6tables"] if IPV6.exists() else ["iptables"]


def _rule(program: str, port: int) -> tuple[str, ...]:
    end = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + EXPIRY_S))
    first_packets = (program, "-w", "-I", "INPUT", "-p", "tcp", "--syn", "--dport", str(port))
    return (*first_packets, "-m", "time", "--datestop", end, "-j", "DROP")


def _run(words: tuple[str, ...]) -> str:
    """What went wrong, or ""."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return (done.stderr.strip() or f"{words[0]} ends with {done.returncode}") if done.returncode else ""
