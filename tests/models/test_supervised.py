"""Supervised terms against the old library's numbers."""

import numpy as np
import pytest
import tensorflow as tf

from dlib_tf2.errors import UserError
from dlib_tf2.models.supervised import (
    CovLabels,
    EmbedLabels,
    L2Labels,
    XentLabels,
    anneal,
    fine_tune,
    fixed,
)

MEANS = np.float32([[0.5, -1, 2], [1.5, 0.25, -0.5]])
LABELS = np.float32([[2, 0], [1, 3]])


def loss(term, **variables):
    made = {variable.name: variable for variable in term.build(3, {"label": (3, 4)})}
    for name, value in variables.items():
        made[name].assign(np.broadcast_to(np.float32(value), made[name].shape))
    return float(term.loss(tf.constant(MEANS), tf.constant(LABELS)))


def test_l2_is_the_old_one_divided_by_the_batch():
    assert 2 * loss(L2Labels(1.0)) == pytest.approx(11.0625, rel=1e-6)
    assert 2 * loss(L2Labels(1.0), label_scale=2.0) == pytest.approx(15.25, rel=1e-6)
    assert 2 * loss(L2Labels(1.0, learn_scale=False)) == pytest.approx(0.344051, abs=1e-6)


def test_xent_is_the_old_one_divided_by_the_batch():
    assert loss(XentLabels(1.0)) == pytest.approx(1.396929, abs=1e-6)


def test_cov_leaves_each_labels_own_code_alone():
    assert loss(CovLabels(1.0)) == pytest.approx(4.566406, abs=1e-6)


@pytest.mark.parametrize(
    "sigma, sigmas, expected",
    [
        (1.0, {}, 3.737439),
        (2.0, {}, 10.766947),
        ("learn", {"sigma_0": 0.5, "sigma_1": 1.5}, 4.786937),
    ],
)
def test_embed(sigma, sigmas, expected):
    values = {"embedding_0": [0, 1, 2], "embedding_1": [-1, 0, 1, 2]}
    assert loss(EmbedLabels(1.0, sigma=sigma), **values, **sigmas) == pytest.approx(
        expected, abs=2e-6
    )


def test_embed_with_ordered_values():
    values = {"embedding_0": 0, "slope_0": 1, "embedding_1": -1, "slope_1": 0.5}
    assert loss(EmbedLabels(1.0, use_order=True), **values) == pytest.approx(2.684629, abs=2e-6)


def test_embeddings_start_within_glorots_bounds_by_their_seed():
    first, again, other = (
        np.concatenate(
            [
                variable.numpy()
                for variable in EmbedLabels(1.0, seed=seed).build(3, {"label": (3, 4)})
            ]
        )
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.abs(first[:3]).max() <= 1
    assert np.abs(first[3:]).max() <= (3 / 4) ** 0.5


@pytest.mark.parametrize(
    "make, expected",
    [
        (fixed, [4, 4, 4, 4, 4, 4, 4]),
        (lambda: anneal(100), [0, 0.04, 2, 3.96, 4, 4, 4]),
        (lambda: fine_tune(100), [0, 0, 0, 0, 0, 4, 4]),
    ],
)
def test_annealers(make, expected):
    annealer = make()
    steps = tf.constant([0, 1, 50, 99, 100, 101, 150], tf.int64)
    found = [4 * float(annealer.weight(step)) for step in steps]
    assert found == pytest.approx(expected)


def test_a_term_reads_the_encoders_mean_and_follows_its_annealer():
    class Model:
        def encode(self, image):
            return type("Posterior", (), {"loc": image})

    term = XentLabels(3.0, anneal(10))
    term.build(3, {"label": (3, 4)})
    batch = {"labelled_image": tf.constant(MEANS), "label": tf.constant(LABELS)}
    found = term(Model(), batch, tf.constant(5, tf.int64))
    assert list(found) == ["xent"]
    assert float(found["xent"]) == pytest.approx(1.5 * 1.396929, abs=2e-6)


@pytest.mark.parametrize("term", [L2Labels(1.0), XentLabels(1.0), EmbedLabels(1.0)])
def test_more_labels_than_codes_are_refused(term):
    with pytest.raises(UserError, match="4 labels need as many codes, and there are 3"):
        term.build(3, {"label": (2, 2, 2, 2)})


def test_cov_takes_any_number_of_codes():
    assert CovLabels(1.0).build(1, {"label": (3, 4)}) == []


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: XentLabels(-1.0), "XentLabels.strength must be a number of at least 0"),
        (lambda: EmbedLabels(1.0, sigma=0), "EmbedLabels.sigma must be a number"),
        (lambda: anneal(0), "anneal.iteration_threshold must be a whole number"),
    ],
)
def test_mistakes_are_one_line(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_an_annealer_without_its_brackets_is_refused():
    with pytest.raises(UserError, match=r"XentLabels.annealer must be a call such as @anneal\(\)"):
        XentLabels(1.0, anneal)
