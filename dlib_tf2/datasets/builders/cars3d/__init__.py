"""The TFDS builder of cars3d."""
