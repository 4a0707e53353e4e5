"""Backup and restore: what a new host cannot make again, in one file that only its owner can read."""
