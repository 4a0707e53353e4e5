"""The program /opt/voice/bin/start.py: what it does and takes is in on_host/start/start.py."""

import sys

from on_host.start.start import main

if __name__ == "__main__":
    sys.exit(main())
