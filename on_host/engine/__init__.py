"""Programs in containers, the engines' and the proof's: each a file of its own, which needs nothing of the others."""
