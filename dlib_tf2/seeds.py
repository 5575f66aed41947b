"""Named randomness: one seed serves many uses, and each use draws the same numbers whatever other
uses there are.
"""

import hashlib

import numpy as np

from dlib_tf2.errors import UserError


def generator(seed: int, name: str) -> np.random.Generator:
    """Makes the generator of one named use (a metric, a representation) of a run's seed.

    Args:
        seed: the run's seed, 0 or more.
        name: the use's name.

    Returns:
        A generator that depends on `seed` and `name` and on nothing else.

    Raises:
        UserError: the seed is not a whole number of at least 0.
    """
    return np.random.default_rng(_sequence(seed, name))


def derive_seed(seed: int, name: str) -> int:
    """A seed in 0 .. 2^31 - 1 for one named use of the run's seed, for generators that are not
    numpy's.
    """
    return int(_sequence(seed, name).generate_state(1)[0] & 0x7FFFFFFF)


def _sequence(seed: int, name: str) -> np.random.SeedSequence:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise UserError(
            f"a seed must be a whole number of at least 0, got {seed!r}; correct it, e.g."
            ' --gin_bindings="SEED = 0"'
        )
    # Python's own `hash` differs between processes, so the name enters through SHA-256.
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype="<u4")
    return np.random.SeedSequence([int(seed), *words.tolist()])
