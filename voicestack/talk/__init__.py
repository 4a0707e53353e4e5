"""A link to the page to talk from."""
