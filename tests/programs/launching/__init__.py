"""A simulated AWS (moto) for deploys.launch, and what it was asked. It stands in tests alone."""
