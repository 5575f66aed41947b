"""Networks, reconstruction losses and models."""
