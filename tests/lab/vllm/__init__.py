"""A stand-in for vLLM 0.18 and vLLM-Omni 0.18: same command line, checks, HTTP answers; no GPU, no weights.

It refuses what the real programs refuse, with their words, accounts its memory on the lab's simulated card, and speaks
with espeak-ng. tests/engines asks it and the real 0.18.0 the same. Standard library and PyYAML only: it runs inside
the lab's image.
"""
