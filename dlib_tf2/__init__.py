"""dlib_tf2: train, encode, score and study disentangled representations.

The public functions are loaded when they are first used, and TensorFlow only by those that need it
(`load_dataset` and `load_model`):

- `load_dataset` opens a dataset by its name,
- `load_model` opens the folder of a trained model, which encodes and decodes,
- `load_representation` reads a table of codes and factors,
- `score_arrays` scores codes of any origin.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# Text, not imports: importing the package loads none of these.
_PUBLIC = {
    "load_dataset": "dlib_tf2.datasets.loading:load",
    "load_model": "dlib_tf2.training.saved_model:load",
    "load_representation": "dlib_tf2.representations.representation:load",
    "score_arrays": "dlib_tf2.evaluate:score_arrays",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, function = _PUBLIC[name].partition(":")
    return getattr(importlib.import_module(module), function)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
