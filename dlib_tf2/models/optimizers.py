"""The study's optimizer with the study's constants."""

import gin
import keras


@gin.register
def adam(
    learning_rate: float = 1e-4, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8
) -> keras.optimizers.Optimizer:
    """Adam (Kingma & Ba 2015) as in the study; Keras' own default for epsilon is 1e-7."""
    return keras.optimizers.Adam(learning_rate, beta_1, beta_2, epsilon)
