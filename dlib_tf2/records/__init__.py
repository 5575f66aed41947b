"""What a step leaves in its folder, and the rows of the tidy table."""
