"""Question 4: can a model be chosen without labels? Rank correlations of unsupervised scores with
the metrics.
"""

from dlib_tf2.report import correlation_maps
from dlib_tf2.report.exhibit import Exhibit
from dlib_tf2.report.scores import METRICS
from dlib_tf2.report.tidy import Scores

UNSUPERVISED = ("Reconstruction", "TC (sampled)", "KL", "ELBO")


def unsupervised(scores: Scores, bootstrap: int, seed: int) -> Exhibit:
    """Heat maps unsupervised score x metric, one per dataset."""
    rows = scores.have(*UNSUPERVISED)
    reading = (
        f"{correlation_maps.HOW} Rows: reconstruction loss, total correlation of sampled codes, KL"
        " to the prior (for all three less is better) and ELBO (more is better). The paper found"
        " some correlations but no pattern that would allow to choose models by them."
    )
    numbers = correlation_maps.per_dataset(scores, rows, scores.metrics, bootstrap, seed)
    needs = (*UNSUPERVISED, *(score.name for score in METRICS))
    title, behind = "Unsupervised scores and the metrics", correlation_maps.behind(scores, numbers)
    return correlation_maps.maps(
        "unsupervised", title, reading, numbers, "dataset", rows, scores.metrics, needs, behind
    )
