"""The owner's hosts on EC2, found by tag; nothing here names an instance, an address or a key.

What may be chosen, by environment variables, is listed in voicestack/connect/environment.py. AWS credentials are found
as boto3 finds them.
"""

from pathlib import Path

from pyinfra.api.exceptions import PyinfraError

try:
    from voicestack.connect.environment import read
except ModuleNotFoundError:
    root = Path(__file__).resolve().parents[1]
    raise PyinfraError(f"run pyinfra from the repository's root: cd {root}") from None

voice = [read().inventory]
