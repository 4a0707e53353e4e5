"""How a run reaches a host, and where its secrets come from."""
