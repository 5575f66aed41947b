"""TensorFlow without the half-dozen lines that it prints at start; loaded late, since it takes
seconds.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from dlib_tf2.errors import DlibError


@contextlib.contextmanager
def hold_stderr() -> Iterator[None]:
    """Holds back what libraries print on file descriptor 2 (TensorFlow's start-up lines); prints it
    if the block fails.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except DlibError:  # its message is enough
            raise
        except Exception:
            os.dup2(saved, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


def import_tensorflow() -> None:
    """Imports TensorFlow and lists its devices without the half-dozen lines of noise that it prints
    at start.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with hold_stderr():
        import tensorflow as tf

        tf.config.list_physical_devices()
