"""Makes the EC2 host that the settings describe, and what belongs to it (docs/decisions/launch.md).

wishes.py what is wanted, parts.py what a plan is made of and how it reads, plan.py the order, calls.py AWS; one module
for each thing: role.py, group.py (ports.py), instance.py (place.py for a new one), volume.py, address.py; terminate.py
ends it.
"""
