"""A part of a host, by our operations or by pyinfra's own; batched_facts.py says which by BATCHED, and only asks.

The part: base packages, the vendors' repositories with their keys, two files that kernel and systemd read. pyinfra's
operations check less: a key by its file's name (ours by fingerprint and digest), no entries of others.
"""

import io
import os

from pyinfra.context import host
from pyinfra.operations import apt, files

from voicestack.host import base, preflight
from voicestack.host.platform import repositories
from voicestack.settings.load import load

settings = load(host)
platform = preflight.ask(host, settings).platform

if os.environ["BATCHED"] == "ours":
    base.install(settings, platform)
elif os.environ["BATCHED"] == "pyinfra's":
    apt.packages(name="Base packages", packages=list(base.BASE_PACKAGES))
    for each in repositories(settings, platform):
        apt.key(name=f"Key of {each.name}", src=each.key_url, dest=each.keyring)
        apt.sources_file(
            name=f"Repository {each.name}",
            filename=f"voice-{each.name}",
            uris=each.url,
            suites=each.suite,
            components=each.components or None,
            architectures="amd64",
            signed_by=each.keyring,
        )
    for path, text in base.wanted_files(settings).items():
        files.put(name=f"File {path}", src=io.StringIO(text), dest=path, user="root", group="root", mode="644")
