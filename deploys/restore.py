"""A backup goes back: onto a bare host before deploys/voice.py, or onto a live one.

    AGE_IDENTITY_FILE=... pyinfra -y --limit HOST inventories/prod.py deploys/restore.py --data restore_file=...tar.age

The file is decrypted in memory and checked whole before anything is changed. Services that read what was restored are
restarted; a host without the stack stays without.
"""

from pyinfra.context import host

from voicestack import lock
from voicestack.backup import operations as backup
from voicestack.settings.load import load
from voicestack.stack import operations as stack

settings = load(host)
file, identity = backup.to_restore(settings)
lock.hold(host)
backup.restore(name=f"Restore {file}", file=file, identity=identity, with_agents=settings.agent.aws_keys == "keep")
# Not only if something changed: a run that was broken off before this step has left it to do. A condition all the same,
# because that is how a dry run shows it: the host can answer only then.
stack.restart(name="Restart the services that read what was restored", _if=lambda: True)
