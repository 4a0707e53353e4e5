"""The fetcher of weights: on the host, as root; hub.py alone needs more than the standard library."""
