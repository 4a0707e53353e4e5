"""The voice agent: joins a caller's room and speaks through the host's own models."""
