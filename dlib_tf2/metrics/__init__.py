"""Disentanglement metrics: one file each, the function named like the file, `metric(codes, factors,
rng, ...) -> dict of floats`.

They are numpy and scikit-learn functions of a table of codes and factors, whatever framework made
it; nothing here imports TensorFlow. A new metric is one new file here, its test, and
`gin_configs/metrics/<name>.gin`. `common`, `labelled`, `repeats` and files that start with `_` are
not metrics.
"""

from dlib_tf2.metrics._limits import collecting
from dlib_tf2.metrics._parallel import reporting

__all__ = ["collecting", "reporting"]
