"""The gate: proof on a deployed host that a caller is answered, leg by leg (docs/decisions/gate.md)."""
