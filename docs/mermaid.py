"""The stack as a Mermaid chart, which GitHub draws, and as a table of ports: for docs/architecture.md. Pure."""

from __future__ import annotations

from docs.stack import BROWSER, EVERYONE, Card, Stack

BREAK = "<br/>"
MODELS = "models"


def chart(stack: Stack) -> str:
    """A Mermaid flowchart; ends in a newline."""
    outside = {each.whom: each.where for each in stack.questions if each.outside}
    lines = [
        "flowchart TB",
        f"    {BROWSER}([{BROWSER}])",
        *(_node(name, [name, where], "([", "])") for name, where in outside.items()),
        '    subgraph host["the host"]',
        *(f"    {_node(name, _lines(stack, name))}" for name in stack.services),
        *(f"    {_node(_id(card), _memory(card), '[[', ']]')}" for card in stack.cards),
        f"    {_node(MODELS, [stack.directory, *_kept(stack)], '[(', ')]')}",
        "    end",
        *_questions(stack),
        *(f"    {_name(name)} -.- {MODELS}" for _, users in stack.models.values() for name in users),
        *(f"    {_name(name)} -.- {_name(_id(card))}" for card in stack.cards for name in _users(card)),
    ]
    return "\n".join(lines) + "\n"


def ports(stack: Stack) -> str:
    """A Markdown table of who listens where; ends in a newline."""
    rows = ["| port | open to | service | what |", "| --- | --- | --- | --- |"]
    for each in stack.listeners:
        whom = each.whom if each.whom == EVERYONE else f"the host itself ({each.whom})"
        rows.append(f"| {each.ports}/{each.protocol} | {whom} | {each.service} | {each.what} |")
    return "\n".join(rows) + "\n"


def disks(stack: Stack) -> str:
    """A Markdown table of what lies where; ends in a newline."""
    rows = ["| path | GiB that preflight asks for | what lies there |", "| --- | --- | --- |"]
    rows += [f"| `{path}` | {need:g} | {what} |" for path, (need, what) in stack.disks.items()]
    return "\n".join(rows) + "\n"


def _questions(stack: Stack) -> list[str]:
    """An arrow for each pair, with all that the one asks the other."""
    asked: dict[tuple[str, str], list[str]] = {}
    for each in stack.questions:
        where = "" if each.outside else f"{each.where} "
        asked.setdefault((each.who, each.whom), []).append(f"{where}{each.what}")
    return [f'    {_name(who)} -- "{BREAK.join(words)}" --> {_name(whom)}' for (who, whom), words in asked.items()]


def _lines(stack: Stack, service: str) -> list[str]:
    here = [each for each in stack.listeners if each.service == service and each.whom != EVERYONE]
    return [service, stack.services[service], *(f"{each.place} {each.what}" for each in here)]


def _memory(card: Card) -> list[str]:
    return [card.name, *(f"{what} {amount:.2f}" for _, what, amount in card.parts)]


def _users(card: Card) -> list[str]:
    return list(dict.fromkeys(service for service, _, _ in card.parts if service))


def _kept(stack: Stack) -> list[str]:
    return [f"{name} {size}".rstrip() for name, (size, _) in stack.models.items()]


def _id(card: Card) -> str:
    return card.name.partition(":")[0]


def _node(name: str, lines: list[str], begin: str = "[", end: str = "]") -> str:
    return f'    {_name(name)}{begin}"{BREAK.join(line for line in lines if line)}"{end}'


def _name(text: str) -> str:
    """A node's id: letters, digits and underscores are safe whatever Mermaid's keywords are."""
    return "".join(letter if letter.isalnum() else "_" for letter in text)
