"""The owner's hosts on EC2, found by tag; nothing here names an instance, an address or a key.

Environment: VOICE_TAG (default Role=voice), VOICE_DOMAIN, VOICE_ACME_EMAIL; AWS credentials as boto3 finds them.
ssh is the operator's own: user ubuntu, keys from the agent, host keys from ~/.ssh/known_hosts.
"""

import os

from deploys.access.ec2 import running_instances

_SITE = {"site_domain": "VOICE_DOMAIN", "site_acme_email": "VOICE_ACME_EMAIL"}

voice = [
    (
        instance.name,
        {
            "ssh_hostname": instance.address,
            "ssh_user": "ubuntu",
            "ssh_strict_host_key_checking": "yes",
            "_sudo": True,
            **{key: os.environ[variable] for key, variable in _SITE.items() if variable in os.environ},
        },
    )
    for instance in running_instances(os.environ.get("VOICE_TAG", "Role=voice"), region="eu-central-1")
]
