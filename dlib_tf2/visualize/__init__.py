"""Pictures of models and datasets."""
