"""The secrets of a run: where they come from, and what they must look like."""
