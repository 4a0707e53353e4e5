"""Taking down what the deploys made (deploys/teardown.py; docs/decisions/teardown.md)."""
