"""`python -m tests.lab.bedrock ADDRESS [VERSION]`: serve until killed; VERSION tells one command from another."""

import sys

from tests.lab import controlled
from tests.lab.bedrock import PORT
from tests.lab.bedrock.server import BedrockServer

controlled.run(BedrockServer(sys.argv[1], PORT))
