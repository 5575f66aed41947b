"""The order of the report: the paper's questions, and under each its figures and tables."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from dlib_tf2.report.agreement import agreement
from dlib_tf2.report.coverage import coverage
from dlib_tf2.report.dependence import dependence
from dlib_tf2.report.downstream import downstream, efficiency
from dlib_tf2.report.exhibit import Exhibit
from dlib_tf2.report.scores import CLASSIFIERS
from dlib_tf2.report.selection import selection
from dlib_tf2.report.strengths import score_against_strength
from dlib_tf2.report.tidy import Scores
from dlib_tf2.report.transfer import transfer
from dlib_tf2.report.unsupervised import unsupervised
from dlib_tf2.report.variance import variance
from dlib_tf2.report.violins import violins_by_method, violins_by_strength


class Sampling(NamedTuple):
    """How often the report draws, and from which seed."""

    bootstrap: int = 1000  # samples per interval
    draws: int = 10000  # per cell of the table of odds
    seed: int = 0


def sections(
    scores: Scores, sampling: Sampling
) -> Iterator[tuple[str, list[Callable[[], Exhibit]]]]:
    """Yields (heading, exhibits to make)."""
    bootstrap, draws, seed = sampling
    yield "What this report is made from", [lambda: coverage(scores)]
    yield (
        "Are the codes of regularised models less dependent?",
        [lambda: dependence(scores, "TC"), lambda: dependence(scores, "MI")],
    )
    yield "Do the metrics agree?", [lambda: agreement(scores, bootstrap, seed)]
    yield (
        "How much do method, strength and seed matter?",
        [
            lambda: violins_by_method(scores),
            *(
                lambda dataset=dataset: violins_by_strength(scores, dataset)
                for dataset in scores.datasets
            ),  # type: ignore[misc]
            lambda: variance(scores),
        ],
    )
    yield (
        "Is there a recipe for choosing a model?",
        [
            lambda: score_against_strength(scores),
            lambda: unsupervised(scores, bootstrap, seed),
            lambda: transfer(scores, bootstrap, seed),
            lambda: selection(scores, draws, seed),
        ],
    )
    yield (
        "Does disentanglement help a later task?",
        [
            lambda: downstream(scores, bootstrap, seed),
            *(lambda name=name: efficiency(scores, name) for name in CLASSIFIERS),
        ],  # type: ignore[misc]
    )
