"""A link to talk to a deployed stack from a browser: prints one for each host, changes nothing.

    pyinfra inventories/prod.py deploys/talk.py [--data talk_token_minutes=30]

The page must be on: talk_enabled, and a run of deploys/voice.py since.
"""

from pyinfra.context import host

from voicestack.settings.load import load
from voicestack.talk import link

link.show(host, load(host))
