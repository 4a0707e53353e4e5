"""Back to a release that was healthy: its files and its images, and a restart of what differs.

    pyinfra inventories/prod.py deploys/rollback.py [--data rollback_to=N]

Without a number, the healthy release before the one in use. A number that the host does not have is refused with the
list of those it has. The next run of deploys/voice.py goes forward again, to what group_data says.
"""

from pyinfra.context import host

from voicestack import lock
from voicestack.settings.load import load
from voicestack.stack import rollback

settings = load(host)
lock.hold(host)
rollback.go_back(name="Put an earlier release back and bring it up", to=settings.rollback.to)
