"""Question 4: can a model be chosen without labels? Rank correlations of unsupervised scores with
the metrics.
"""

from dlib_tf2.report import correlation_maps
from dlib_tf2.report.exhibit import Exhibit
from dlib_tf2.report.scores import PAPER_METRICS
from dlib_tf2.report.tidy import Scores

UNSUPERVISED = ("Reconstruction", "TC (sampled)", "KL", "ELBO")


def unsupervised(scores: Scores, bootstrap: int, seed: int) -> Exhibit:
    """Heat maps unsupervised score x metric, one per dataset."""
    return correlation_maps.per_dataset(
        scores,
        "unsupervised",
        "Unsupervised scores and the metrics",
        "Rows: reconstruction loss, total correlation of sampled codes, KL to the prior, and ELBO."
        " The paper found some correlations but no pattern that would help to choose models.",
        scores.have(*UNSUPERVISED),
        scores.metrics,
        (*UNSUPERVISED, *PAPER_METRICS),
        bootstrap,
        seed,
    )
