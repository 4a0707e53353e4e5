"""A host of your own, by plain ssh: copy this file, and group_data/prod.py if its defaults do not fit."""

voice = [
    (
        "voice.example.org",
        {
            "ssh_user": "ubuntu",
            "ssh_strict_host_key_checking": "yes",  # put the host's key into ~/.ssh/known_hosts first
            "_sudo": True,
            "site_domain": "voice.example.org",
            "site_public_address": "192.0.2.10",
        },
    ),
]
