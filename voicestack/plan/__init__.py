"""The memory plan for people: a table and a picture."""
