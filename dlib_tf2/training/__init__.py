"""The training loop: runs, the engine, checkpoints, strategies, interruptions, saved models."""
