"""Question 2: do the metrics agree? Rank correlations between metrics over all models of a
dataset.
"""

from dlib_tf2.report import correlation_maps
from dlib_tf2.report.exhibit import Exhibit
from dlib_tf2.report.scores import PAPER_METRICS
from dlib_tf2.report.tidy import Scores


def agreement(scores: Scores, bootstrap: int, seed: int) -> Exhibit:
    """Heat maps metric x metric, one per dataset; metrics that the paper does not have follow its
    six.
    """
    names = [*scores.metrics, *scores.others]
    reading = (
        "The paper found all but Modularity correlated, strongly on the dSprites variants and"
        " mildly elsewhere, with the pairs BetaVAE and FactorVAE, and MIG and DCI, closest."
    )
    if scores.others:
        keys = ", ".join(f"{name} ({scores.found[name].keys[0]})" for name in scores.others)
        reading += f" Metrics that the paper does not have, with their keys: {keys}."
    return correlation_maps.per_dataset(
        scores,
        "agreement",
        "Agreement of the metrics",
        reading,
        names,
        names,
        PAPER_METRICS,
        bootstrap,
        seed,
    )
