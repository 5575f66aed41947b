"""Paths, files, locks, progress, quiet start-up, and what all commands share."""
