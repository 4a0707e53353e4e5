"""`python -m voice_agent` runs the agent.

`healthcheck` asks a running one, `invite` prints a caller's token, `bedrock` asks the language model for one.
"""

from __future__ import annotations

import os
import sys

from . import asking, healthcheck, invite
from .environment import SettingsError
from .settings import Settings


def main(arguments: list[str]) -> int:
    """Do what is asked; 78 and every mistake when the environment has any."""
    try:
        return _dispatch(arguments)
    except SettingsError as error:
        sys.stderr.write("".join(f"setting {problem}\n" for problem in error.problems))
        return os.EX_CONFIG


def _dispatch(arguments: list[str]) -> int:
    """Imports of the framework (seconds) happen only where they are needed."""
    if arguments == ["healthcheck"]:
        return healthcheck.main()
    if arguments == ["bedrock"]:
        return asking.main()
    if arguments[:1] == ["invite"] and (minutes := invite.minutes(arguments[1:])) is not None:
        return invite.main(minutes)
    if arguments:
        minutes_of_a_link = f"invite --minutes 1..{invite.LONGEST_MINUTES}"
        sys.stderr.write(f"usage: python -m voice_agent [healthcheck | bedrock | {minutes_of_a_link}]\n")
        return os.EX_USAGE
    return _serve(Settings(os.environ))


def _serve(settings: Settings) -> int:
    # Before the libraries that read them, and for the job processes too. Nothing is ever fetched from a hub; and
    # numpy's own threads would come on top of WHISPER_THREADS.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["OPENBLAS_NUM_THREADS"] = "1"

    import asyncio  # noqa: PLC0415

    from . import logs, service  # noqa: PLC0415

    logs.configure()
    return asyncio.run(service.run(settings))


# The forkserver imports this module again, under another name, for every process it makes.
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
