"""The weights in /models: catalog, architecture check, fetch."""
