"""Which rows of the tidy table are which score of the paper, and in which order the paper names
methods and metrics.
"""

import re
from typing import NamedTuple

import pandas as pd


class Score(NamedTuple):
    """One score of the paper: the rows of the tidy table that hold it."""

    name: str  # on axes
    functions: tuple[str, ...]  # metric functions, of our own and of the old library's names
    keys: tuple[str, ...]
    representation: str | None = "mean"
    backend: str = ""  # what the name of the classifier must contain

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of `table` that hold this score."""
        chosen = table["function"].isin(self.functions) & table["key"].isin(self.keys)
        if self.representation is not None:
            chosen &= table["representation"] == self.representation
        if self.backend:
            chosen &= table["backend"].str.contains(self.backend, na=False)
        return table[chosen.fillna(False)]


# Disentanglement metrics in the paper's order (A) to (F); for all of them more is better.
METRICS = (
    Score("BetaVAE", ("beta_vae", "beta_vae_sklearn"), ("eval_accuracy",)),
    Score("FactorVAE", ("factor_vae", "factor_vae_score", "factor_vae_metric"), ("eval_accuracy",)),
    Score("MIG", ("mig",), ("mig", "discrete_mig")),
    Score("DCI", ("dci",), ("disentanglement",)),
    Score("Modularity", ("modularity_explicitness",), ("modularity", "modularity_score")),
    Score("SAP", ("sap", "sap_score"), ("sap", "sap_score", "SAP_score")),
)
DEPENDENCE = tuple(
    Score(
        f"{name} ({representation})",
        ("unsupervised", "unsupervised_metrics", "unsupervised_scores"),
        keys,
        representation,
    )
    for name, keys in (
        ("TC", ("gaussian_total_correlation",)),
        ("MI", ("mutual_information", "mutual_info_score")),
    )
    for representation in ("sampled", "mean")
)
TRAINING = tuple(
    Score(name, ("train",), (key,), None)
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

# Metrics that are summed up over many keys, and no score of disentanglement.
_NO_SCORE = {"train", "unified_scores", "fairness", "irs_matrix"}

_METHODS = {
    "vae": "VAE",
    "beta_vae": "β-VAE",
    "factor_vae": "FactorVAE",
    "beta_tc_vae": "β-TCVAE",
    "dip_vae_i": "DIP-VAE-I",
    "dip_vae_ii": "DIP-VAE-II",
    "annealed_vae": "AnnealedVAE",
}
_SYMBOLS = {"beta": "β", "gamma": "γ", "lambda_od": "λ", "c_max": "C"}


def other_metrics(table: pd.DataFrame) -> tuple[Score, ...]:
    """The headline score of every other metric in the table: the key named like the function, or
    else the first one that is a score.
    """
    known = {
        function for score in (*METRICS, *DEPENDENCE, *DOWNSTREAM) for function in score.functions
    } | _NO_SCORE
    found = []
    rows = table[(table["representation"] == "mean") & ~table["function"].isin(known)]
    for function, keys in rows.groupby("function")["key"]:
        names = [
            key for key in keys.unique() if not re.search(r":|\.|train|^num_|^test_overlap$", key)
        ]
        if names:
            found.append(
                Score(
                    f"{function}.{names[0]}",
                    (function,),
                    (function if function in names else names[0],),
                )
            )
    return tuple(score._replace(name=_short(score)) for score in found)


def _short(score: Score) -> str:
    (function,), (key,) = score.functions, score.keys
    return function if key == function or key.startswith(function) else f"{function} {key}"


def method_title(method: str) -> str:
    """The paper's name of a method."""
    return _METHODS.get(method, method)


def method_order(methods: set[str]) -> list[str]:
    """Methods in the paper's order, unknown ones after them by name."""
    return [name for name in _METHODS if name in methods] + sorted(methods - set(_METHODS))


def symbol(hyperparameter: str) -> str:
    """The paper's letter of a hyperparameter."""
    return _SYMBOLS.get(hyperparameter, hyperparameter)
