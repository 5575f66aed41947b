"""A model whose loss has terms beside its own, with inputs and variables of theirs."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import keras
import tensorflow as tf

from dlib_tf2.errors import UserError
from dlib_tf2.models.vae import VAE, Part, Scalars


class Term(Protocol):
    """One of `train.terms`. It may have `schedule_steps` and `batch_of_one`, see `VAE`.

    Attributes:
        inputs: names of what it reads of a batch.
    """

    inputs: tuple[str, ...]

    def build(
        self, num_latent: int, sizes: Mapping[str, tuple[int, ...]]
    ) -> Sequence[keras.Variable]:
        """Makes its own variables, which are trained with the VAE's.

        Args:
            num_latent: codes.
            sizes: the number of values of each column of an input, by its name.
        """

    def __call__(self, model: VAE, batch: Mapping[str, tf.Tensor], step: tf.Tensor) -> Scalars:
        """Named, weighted scalars to add to the loss; `batch` as in `VAE.losses`."""


def with_terms(
    model: VAE, terms: Sequence[Term], num_latent: int, sizes: Mapping[str, tuple[int, ...]]
) -> "VAE | WithTerms":
    """The model with these terms, see `WithTerms`; the model itself if there are none."""
    return WithTerms(model, terms, num_latent, sizes) if terms else model


class WithTerms:
    """A model and further terms; to the engine it is a model."""

    def __init__(
        self,
        model: VAE,
        terms: Sequence[Term],
        num_latent: int,
        sizes: Mapping[str, tuple[int, ...]],
    ):
        """Builds the terms.

        Args:
            model: any model.
            terms: at least one.
            num_latent: codes.
            sizes: see `Term.build`.
        """
        self._model, self._terms = model, terms
        self._variables = [variable for term in terms for variable in term.build(num_latent, sizes)]
        others = [name for term in terms for name in term.inputs]
        self.inputs: tuple[str, ...] = tuple(dict.fromkeys([*model.inputs, *others]))
        schedules = [getattr(term, "schedule_steps", 0) for term in terms]
        self.schedule_steps: int = max(model.schedule_steps, *schedules)
        texts = [model.batch_of_one, *(getattr(term, "batch_of_one", "") for term in terms)]
        self.batch_of_one: str = next(filter(None, texts), "")

    def parts(self, terms: tuple[str, ...]) -> dict[str, Part]:
        """The model's parts; the part "vae" also holds the variables of the terms."""
        parts = self._model.parts(terms)
        vae = parts["vae"]
        return {**parts, "vae": vae._replace(variables=[*vae.variables, *self._variables])}

    def losses(
        self, batch: Mapping[str, tf.Tensor], step: tf.Tensor, seed: tf.Tensor
    ) -> tuple[Scalars, Scalars]:
        """The model's losses and the further terms, see `VAE.losses`.

        Raises:
            UserError: two terms have one name.
        """
        terms, monitors = self._model.losses(batch, step, seed)
        for term in self._terms:
            more = term(self._model, batch, step)
            if twice := sorted(set(more) & set(terms)):
                raise UserError(f"the loss has two terms called {twice[0]}; leave one out")
            terms = {**terms, **more}
        return terms, monitors
