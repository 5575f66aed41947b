"""Datasets: the grid of factors, the image table, and the streams that feed training."""

from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.datasets.loading import load

__all__ = ["FactorSpace", "GroundTruthDataset", "load"]
