"""How long a caller may hear nothing, and what of that each leg of a turn has. Seconds; the one place for them."""

from __future__ import annotations

# Who hears nothing for longer takes the line for dead.
LONGEST_SILENCE = 10.0
# Of these, what the apology takes to its first sound: 0.3 to 0.5 on an L4 by estimate, doubled.
APOLOGY = 1.0
# A leg (recognition, language model, guard, speech) that has brought nothing for so long, retries included, has failed.
LEG = LONGEST_SILENCE - APOLOGY
# What fails twice keeps failing for longer than anybody waits.
RETRIES = 1
# livekit-agents' own before a first retry (APIConnectOptions.retry_interval is for further ones)
RETRY_PAUSE = 0.1
# The share of one attempt.
ATTEMPT = (LEG - RETRIES * RETRY_PAUSE) / (RETRIES + 1)
