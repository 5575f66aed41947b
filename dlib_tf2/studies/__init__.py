"""Studies: ordered lists of configurations, found by file; the state of their models in a folder;
and sweeps that run many models at once.
"""

from dlib_tf2.studies.finding import find, known_names, models_of
from dlib_tf2.studies.study import Configuration, Setting, Study, product, strengths

__all__ = [
    "Configuration",
    "Setting",
    "Study",
    "find",
    "known_names",
    "models_of",
    "product",
    "strengths",
]
