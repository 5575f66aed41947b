"""Gin text, its parsing, and one metric's call."""
