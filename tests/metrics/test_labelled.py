"""Scores of labelled examples: which rows each of them sees."""

import numpy as np
import pytest

from dlib_tf2.metrics import collecting, labelled

RNG = np.random.default_rng(0)
LABELS = np.stack(np.unravel_index(np.arange(96) % 12, (3, 4)), axis=1)


def scores(codes, labels=LABELS, num_train=60):
    with collecting():
        return labelled.scores(codes, labels, num_train, np.random.default_rng(1))


def test_codes_that_are_the_labels_have_the_best_scores():
    found = scores(LABELS.astype(np.float32))
    assert found["mig"] == pytest.approx(1)
    assert found["dci_disentanglement"] == pytest.approx(1, abs=1e-6)
    assert found["dci_completeness"] == pytest.approx(1, abs=1e-6)
    assert found["mig"] == found["unified/mutual_information_matrix.mig"]
    assert found["sap"] == found["unified/accuracy_svm_matrix.sap"] > 0.1
    assert scores(RNG.normal(size=(96, 2)))["mig"] < 0.3


def test_mutual_information_is_of_all_rows_and_predictions_are_of_the_first():
    codes = LABELS.astype(np.float32)
    # the rows that do not train say nothing of the labels
    codes[60:] = RNG.integers(0, 4, (36, 2))
    found, whole = scores(codes), scores(LABELS.astype(np.float32))
    assert found["mig"] < 0.7
    assert found["dci_disentanglement"] == pytest.approx(1, abs=1e-6)
    assert found["sap"] < whole["sap"] - 0.05


def test_without_rows_to_test_on_there_are_no_accuracies():
    found = scores(LABELS.astype(np.float32), num_train=96)
    assert "mig" in found
    assert not [name for name in found if "sap" in name and "svm" in name] + [
        name for name in found if name == "sap"
    ]


def test_a_label_of_one_value_is_left_out_and_one_such_label_alone_gives_nothing():
    labels = LABELS.copy()
    labels[:, 0] = 2
    assert scores(LABELS.astype(np.float32), labels)["mig"] == pytest.approx(1)
    assert scores(LABELS.astype(np.float32), labels[:, :1]) == {}
