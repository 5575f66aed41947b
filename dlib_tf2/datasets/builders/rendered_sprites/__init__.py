"""The TFDS builder of rendered_sprites."""
