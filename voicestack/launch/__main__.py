"""Make the EC2 host that the settings describe, or say what is missing of it: python -m voicestack.launch.

    python -m voicestack.launch --dry-run          what exists, what would be made; nothing is changed
    python -m voicestack.launch                    shows that, asks, does it; again: finds everything, changes nothing
    python -m voicestack.launch --terminate NAME   ends the instance, keeps its models volume and address, for a rebuild

Reads group_data/all.py, group_data/GROUP.py over it and --data over both; region, tags and credentials are the
inventory's (docs/hosts.md). Why so, and the permissions it needs: docs/decisions/launch.md.

Exit status: 0 all is as it should be (or would be, with --dry-run), 1 refused or failed, 2 the settings cannot work.
"""

from __future__ import annotations

import argparse
import sys

from voicestack.aws import account
from voicestack.connect import environment
from voicestack.connect.environment import EnvironmentVariableError
from voicestack.launch import plan, terminate, wishes
from voicestack.launch.calls import Aws, LaunchError, say
from voicestack.launch.parts import HostPart, lines
from voicestack.launch.wishes import Wish
from voicestack.settings.contradictions import contradictions
from voicestack.settings.group_data import flat
from voicestack.settings.load import SettingsError, report, typed


def read_wish(arguments: argparse.Namespace) -> Wish:
    """What is wanted, of the operator's environment and the settings.

    Raises:
        SettingsError: with everything that cannot work.
    """
    problems: list[str] = []
    try:
        operator = environment.read()
    except EnvironmentVariableError as error:
        problems += str(error).splitlines()
    try:
        data = flat(arguments.group, arguments.data)
    except ValueError as error:
        problems += str(error).splitlines()
    if problems:
        raise SettingsError(report(problems))
    data |= operator.site
    # It need not have been said yet: a host's ports, size and role do not depend on it.
    data["site_domain"] = data.get("site_domain") or "host.invalid"
    problems += wishes.tag_mistakes(operator.tags)
    if arguments.terminate is None:
        problems += wishes.ssh_mistakes(operator)
    try:
        settings, unknown = typed(data)
    except SettingsError as error:
        _, *said = str(error).splitlines()
        raise SettingsError(report([line.removeprefix("  - ") for line in said] + problems)) from None
    problems += [*unknown, *contradictions(settings), *wishes.mistakes(settings, operator)]
    if problems:
        raise SettingsError(report(problems))
    return Wish(settings, operator)


def run(arguments: argparse.Namespace, wish: Wish) -> int:
    """Plan, ask, make, report; the exit status."""
    aws = Aws(account(wish.operator.region, wish.operator.role_arn))
    try:
        known = plan.identify(aws)
        if arguments.terminate is not None:
            parts = terminate.plan_end(aws, wish, known, arguments.terminate)
        else:
            parts = plan.plan_host(aws, wish, known)
        for line in lines(wish, known, parts):
            say(line)
        outcome = _do(arguments, parts)
    except LaunchError as refusal:
        say(str(refusal))
        return 1
    if outcome in ("changed", "unchanged") and arguments.terminate is None:
        say(f"{wish.name} is at {known.address}, which the DNS of VOICE_DOMAIN must say. Next: deploys/voice.py")
    return int(outcome == "refused")


def _do(arguments: argparse.Namespace, parts: list[HostPart]) -> str:
    """Make the changes if there are any and they are wanted; in a word what came of it."""
    number = sum(len(part.changes) for part in parts)
    if any(part.refusals for part in parts):
        say("It cannot be done as marked with !; nothing was changed.")
        return "refused"
    if not number:
        say("All of it is as it should be; nothing was changed.")
        return "unchanged"
    if arguments.dry_run:
        say(f"{number} changes would be made; nothing was changed.")
        return "planned"
    if not (arguments.yes or _agreed(number)):
        say("Nothing was changed.")
        return "refused"
    plan.make(parts)
    return "changed"


def _agreed(number: int) -> bool:
    if not sys.stdin.isatty():
        say("There is nobody to ask; give --yes.")
        return False
    say(f"Make these {number} changes? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _name(word: str) -> str:
    """An empty one is a variable that is not set: that must not launch anything."""
    if not word.strip():
        raise argparse.ArgumentTypeError("name the instance")
    return word


def main(words: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m voicestack.launch", description="The EC2 host of the settings.")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument("--terminate", type=_name, metavar="NAME", help="end the instance of this name instead")
    parser.add_argument("--data", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    parser.add_argument("--group", default="prod", help="the file of group_data over all.py (default: prod)")
    arguments = parser.parse_args(words)
    try:
        wish = read_wish(arguments)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        return run(arguments, wish)
    except KeyboardInterrupt:
        print(f"Stopped. {plan.LEFT}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
