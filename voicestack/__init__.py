"""The deploys: how a bare GPU host becomes the voice stack, and stays it."""
