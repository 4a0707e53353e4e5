"""The owner's hosts on EC2, found by tag; nothing here names an instance, an address or a key.

What may be chosen, by environment variables, is listed in docs/hosts.md. AWS credentials are found as boto3 finds them.
"""

from voicestack.connect.environment import read

voice = [read().inventory]
