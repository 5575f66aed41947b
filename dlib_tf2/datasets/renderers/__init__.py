"""Datasets that are drawn instead of downloaded: numpy only."""
