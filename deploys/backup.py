"""A backup: what a new host could not make again, encrypted, in a file on this machine.

    pyinfra -y inventories/prod.py deploys/backup.py --data backup_recipients=age1...

The key pairs and Caddy's certificates; no weights, nothing of calls. Changes nothing on the host. It holds the host's
lock all the same: in the middle of a deploy, or of the verification's rotation, there is a pair that is not meant to
stay.
"""

from pyinfra.context import host

from voicestack import lock
from voicestack.backup import operations as backup
from voicestack.settings.load import load

settings = load(host)
lock.hold(host)
backup.save(
    name=f"Save the keys and certificates of {settings.site.domain}",
    domain=settings.site.domain,
    wanted=settings.backup,
)
