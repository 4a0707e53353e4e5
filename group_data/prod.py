"""What the owner's EC2 hosts have beyond the defaults of group_data/all.py; site_domain comes from the inventory."""
