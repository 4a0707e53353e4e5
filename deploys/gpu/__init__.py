"""The card's memory as arithmetic."""
