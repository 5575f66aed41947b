"""What a method adds to the reconstruction loss: one idea per file."""
