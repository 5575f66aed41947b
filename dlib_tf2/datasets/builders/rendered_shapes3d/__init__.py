"""The TFDS builder of rendered_shapes3d."""
