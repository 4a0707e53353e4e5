"""Makes the EC2 host that the settings describe, and what belongs to it (docs/decisions/launch.md).

wishes.py what is wanted, parts.py what a plan is made of, plan.py the order; one module for each thing: role.py,
group.py, instance.py (first_start.py, place.py, image.py for a new one), volume.py, address.py; terminate.py ends it.
"""
