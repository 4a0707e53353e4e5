"""`python -m tests.lab.hub ADDRESS LIBRARY`: serve until killed."""

import sys
import threading
from pathlib import Path

from tests.lab.hub.models import load
from tests.lab.hub.server import CDN_PORT, PORT, serve

address, root = sys.argv[1:]
serve(load(Path(root)), address, PORT, CDN_PORT)
threading.Event().wait()
