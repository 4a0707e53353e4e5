"""Which commit is live on a host."""
