"""`python -m tests.lab.vllm serve …`: the stand-in on this machine, without an image."""

import sys

from .cli import main

sys.exit(main(sys.argv[1:]))
