"""The audit: compares each live host with what this clone would make of it; changes nothing.

    pyinfra -y inventories/prod.py deploys/audit.py [--data audit_report=PATH] [--data audit_against=CLONE]

Facts only. The exit status is 1 when a host differs.
"""

from pyinfra.context import host

from voicestack.audit import examination
from voicestack.settings.load import load

examination.examine(host, load(host))
