"""Print the memory plan of a host's settings, and draw it: python -m voicestack.plan.

Reads group_data/all.py, group_data/GROUP.py over it and --data over both; asks no host. What a host uses today comes
from nvidia-smi there:

    ssh HOST nvidia-smi --query-gpu=memory.total,memory.used --format=csv,noheader,nounits |
        python -m voicestack.plan --measured - --svg plan.svg

Exit status: 0 the plan fits, 1 it does not, 2 the settings cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from voicestack.gpu.cards import read
from voicestack.plan.picture import svg
from voicestack.plan.table import table
from voicestack.settings.load import SettingsError, of_group


def main(words: list[str]) -> int:
    """Print, draw, and say by the exit status whether the plan fits."""
    parser = argparse.ArgumentParser(
        prog="python -m voicestack.plan", description="The memory plan of a host's settings."
    )
    parser.add_argument("--data", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    parser.add_argument("--group", default="prod", help="the file of group_data over all.py (default: prod)")
    parser.add_argument("--measured", default="", metavar="FILE", help="nvidia-smi's total and used MiB; - is stdin")
    parser.add_argument("--when", default="measured", help="what the picture calls the measurement")
    parser.add_argument("--svg", default="", metavar="FILE", help="draw the plan there")
    arguments = parser.parse_args(words)
    try:
        settings = of_group(arguments.group, arguments.data)
        source = arguments.measured
        measured = (
            read(sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")) if source else ()
        )
    except (SettingsError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    made = settings.plan
    sys.stdout.write(table(made, measured))
    if arguments.svg:
        Path(arguments.svg).write_text(svg(made, measured, arguments.when), encoding="utf-8")
    return 0 if made.fits else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
