"""A backup goes back: onto a bare host before deploys/voice.py, or onto a live one.

    AGE_IDENTITY_FILE=... pyinfra -y --limit HOST inventories/prod.py deploys/restore.py --data restore_file=...tar.age

The file is decrypted in memory and checked whole before anything is changed. Services that read what was restored are
restarted; a host without the stack stays without.
"""

from pyinfra.context import host

from voicestack import lock
from voicestack.backup import restore
from voicestack.settings.load import load

settings = load(host)
restore.check(settings)
lock.hold(host)
restore.install(settings)
