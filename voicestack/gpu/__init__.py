"""The card's and the host's memory as arithmetic: what fits, and what would have to give. Pure; knows no settings.

From the bottom up: units, cards (how much there is), dimensions (what a model is), memory (what one process takes),
plan (what all take together), speed (how many calls), ram (the host's memory), advice (how to fit).
"""
