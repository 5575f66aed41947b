"""The TFDS builder of scream."""
