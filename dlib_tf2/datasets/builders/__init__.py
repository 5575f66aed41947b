"""TFDS builders, each in a folder of its own."""
