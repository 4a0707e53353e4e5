"""Programs in the engines' containers: each a file of its own, which needs nothing of the others."""
