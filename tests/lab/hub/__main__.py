"""`python -m tests.lab.hub ADDRESS LIBRARY [VERSION]`: serve until killed; VERSION tells one command from another."""

import sys
import threading
from pathlib import Path

from tests.lab.hub.models import load
from tests.lab.hub.server import CDN_PORT, PORT, serve

address, root = sys.argv[1:3]
serve(load(Path(root)), address, PORT, CDN_PORT)
threading.Event().wait()
