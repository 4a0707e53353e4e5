"""`python -m tests.lab.imds ADDRESS [VERSION]`: serve until killed; VERSION tells one command from another."""

import sys

from tests.lab import controlled
from tests.lab.imds import PORT
from tests.lab.imds.server import ImdsServer

controlled.run(ImdsServer(sys.argv[1], PORT))
