"""An environment in which loading TensorFlow or Keras ends a process at once: what runs there needs
neither.
"""

import os
import pathlib

REPO = pathlib.Path(__file__).parents[1]


def environment(folder):
    """Writes packages into `folder` that refuse to be imported, and returns the variables that put
    them first.
    """
    for name in ("tensorflow", "keras", "tensorflow_probability", "tensorflow_datasets"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise SystemExit('loaded ' + __name__)\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(REPO), str(REPO / "tests")])}
