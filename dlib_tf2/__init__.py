"""dlib_tf2: train, encode, score and study disentangled representations."""

__version__ = "0.1.0"
