"""A user's own arrays and images."""
