"""A simulated AWS (moto) for voicestack.launch, and what it was asked. It stands in tests alone."""
