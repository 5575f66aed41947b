"""Scores of a few labelled examples, by which a model can be chosen without knowing the factors of
the others.
"""

import numpy as np
from numpy.typing import ArrayLike

from dlib_tf2.errors import UserError
from dlib_tf2.metrics import _limits, _relation, common
from dlib_tf2.metrics.unified_scores import (
    accuracy_svm_matrix,
    importance_gbt_matrix,
    mutual_information_matrix,
)

_FEW = 50  # test rows below which an accuracy says little
# the relation matrix and the way of summing it up that make a metric
_METRICS = {
    "mig": "mutual_information_matrix.mig",
    "sap": "accuracy_svm_matrix.sap",
    "dci_disentanglement": "importance_gbt_matrix.dci_disentanglement",
    "dci_completeness": "importance_gbt_matrix.dci_completeness",
}


def scores(
    codes: ArrayLike, labels: ArrayLike, num_train: int, rng: np.random.Generator
) -> dict[str, float]:
    """MIG, SAP, DCI and the unified scores of labelled examples, as in the study of few labels
    (Locatello et al., ICLR 2020, arXiv 1905.01258).

    Mutual information is of all rows. What is predicted is fitted on the first `num_train` rows; an
    accuracy is that on the others, and without others there is no score of accuracies.

    Args:
        codes: float [n, d], of the rows that train first.
        labels: int [n, v].
        num_train: rows that train.
        rng: source of the classifiers' random states.

    Returns:
        `mig`, `sap`, `dci_disentanglement`, `dci_completeness`, and `unified/<matrix>.<way>` as in
        `unified_scores`, without the scores of single codes and factors. A matrix that needs more
        rows, or fewer values of a label, is left out; {} if no label has two values.
    """
    checked, dense = common.check_table(codes, labels)
    kept = np.flatnonzero(np.ptp(dense[:num_train], axis=0) > 0)
    if not len(kept):
        return {}
    dense = dense[:, kept]
    tests = len(checked) - num_train
    if 0 < tests < _FEW:
        _limits.warn("few_rows", f"accuracies are of {tests} rows; label more")
    matrices = {
        "mutual_information_matrix": lambda: mutual_information_matrix(
            checked, dense, len(checked), rng
        ),
        "importance_gbt_matrix": lambda: importance_gbt_matrix(checked, dense, num_train, rng),
        "accuracy_svm_matrix": lambda: accuracy_svm_matrix(checked, dense, num_train, rng),
    }
    unified: dict[str, float] = {}
    for name, make in matrices.items():
        if name == "accuracy_svm_matrix" and not tests:
            continue
        rows = dense if name == "mutual_information_matrix" else dense[:num_train]
        try:
            ways = _relation.aggregate(make(), common.entropy(rows), kept.tolist())
        except UserError as error:
            _limits.warn("few_rows", f"no {name} of {len(checked)} labelled rows: {error}")
            continue
        unified |= {f"{name}.{way}": value for way, value in ways.items()}
    named = {name: unified[key] for name, key in _METRICS.items() if key in unified}
    whole = {
        key: value for key, value in unified.items() if key.count(".") == 1 and "merge_" not in key
    }
    return named | {f"unified/{key}": value for key, value in whole.items()}
