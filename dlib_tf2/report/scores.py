"""Which rows of the tidy table are which score: the paper's, by the names that it has on axes, and
the headline of every other metric.
"""

import re
from typing import NamedTuple

import pandas as pd

from dlib_tf2.configuration.declaration import headline


class Score(NamedTuple):
    """One score: the rows of the tidy table that hold it."""

    name: str  # on axes
    functions: tuple[str, ...]  # metric functions, of our own and of the old library's names
    keys: tuple[str, ...]
    representation: str | None = "mean"
    backend: str = ""  # what the name of the classifier must contain
    higher_is_better: bool = True

    @property
    def label(self) -> str:
        """The name, and the direction where a lower value is better."""
        return self.name if self.higher_is_better else f"{self.name}, lower is better"

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of `table` that hold this score."""
        chosen = table["function"].isin(self.functions) & table["key"].isin(self.keys)
        if self.representation is not None:
            chosen &= table["representation"] == self.representation
        if self.backend:
            chosen &= table["backend"].str.contains(self.backend, na=False)
        return table[chosen.fillna(False)]


def _declared(
    name: str,
    function: str,
    old_functions: tuple[str, ...] = (),
    old_keys: tuple[str, ...] = (),
    representation: str = "mean",
) -> Score:
    """The score that a metric declares, which may have had other names."""
    declared = headline(function)
    assert declared is not None, function
    functions, keys = (function, *old_functions), (declared.key, *old_keys)
    return Score(name, functions, keys, representation, "", declared.higher_is_better)


# The paper's metrics in its order, (A) to (F).
METRICS = (
    _declared("BetaVAE", "beta_vae", ("beta_vae_sklearn",)),
    _declared("FactorVAE", "factor_vae", ("factor_vae_score", "factor_vae_metric")),
    _declared("MIG", "mig", (), ("discrete_mig",)),
    _declared("DCI", "dci"),
    _declared("Modularity", "modularity_explicitness", (), ("modularity_score",)),
    _declared("SAP", "sap", ("sap_score",), ("sap_score", "SAP_score")),
)
PAPER_METRICS = tuple(score.name for score in METRICS)
_TC = {
    name: _declared(
        f"TC ({name})",
        "unsupervised",
        ("unsupervised_metrics", "unsupervised_scores"),
        representation=name,
    )
    for name in ("sampled", "mean")
}
_MI_KEYS = ("mutual_information", "mutual_info_score")
DEPENDENCE = (
    *_TC.values(),
    *(score._replace(name=f"MI ({name})", keys=_MI_KEYS) for name, score in _TC.items()),
)
TRAINING = tuple(
    Score(name, ("train",), (key,), None, higher_is_better=name == "ELBO")
    for name, key in (("Reconstruction", "reconstruction_loss"), ("KL", "kl"), ("ELBO", "elbo"))
)
CLASSIFIERS = {"LR": "logistic_regression", "GBT": "gradient_boosting"}
SIZES = (10, 100, 1000, 10000)
DOWNSTREAM = tuple(
    Score(f"{name}{size}", ("downstream_task",), (f"{size}:mean_test_accuracy",), "mean", backend)
    for name, backend in CLASSIFIERS.items()
    for size in SIZES
)
# accuracy with 100 over that with 10,000
EFFICIENCY = {f"Efficiency ({name})": (f"{name}100", f"{name}10000") for name in CLASSIFIERS}


def other_metrics(table: pd.DataFrame) -> tuple[Score, ...]:
    """The score of every other metric in the table: the one that it declares, or, where it declares
    none, the key named like the function, or else the first key that is not a detail; higher counts
    as better then.
    """
    own = {
        function for score in (*METRICS, *DEPENDENCE, *DOWNSTREAM) for function in score.functions
    }
    rows = table[(table["representation"] == "mean") & ~table["function"].isin(own)]
    return tuple(
        score
        for function, keys in rows.groupby("function")["key"]
        if (score := _other(str(function), list(keys.unique()))) is not None
    )


def _other(function: str, keys: list[str]) -> Score | None:
    if function.isidentifier() and headline(function):  # the name of a file
        return _declared(function, function)
    names = [key for key in keys if not re.search(r":|\.|train|^num_|^test_overlap$", key)]
    if not names:
        return None
    return Score(function, (function,), (function if function in names else names[0],))
