"""The card's and the host's memory as arithmetic: what fits, what it costs, what would have to give. Pure.

From the bottom up: units, cards (how much there is), dimensions (what a model is), memory (what one process takes),
plan (what all take together), ram (the same for the host), advice (how to fit), wishes (settings to plan), picture,
table and `python -m voicestack.plan`.
"""
