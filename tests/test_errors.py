"""Strengths that are no numbers, or have no meaning, are refused by name wherever they are
given.
"""

import math

import numpy as np
import pytest

from dlib_tf2.errors import UserError, check_number, first_line, suggest
from dlib_tf2.models.factor_vae import FactorVAE
from dlib_tf2.regularizers.annealed_kl import AnnealedKL
from dlib_tf2.regularizers.beta_kl import BetaKL
from dlib_tf2.regularizers.beta_tc import BetaTC
from dlib_tf2.regularizers.dip import DIP, covariance_of_means

MAKERS = {
    "BetaKL.beta": BetaKL,
    "BetaTC.beta": BetaTC,
    "DIP.lambda_od": lambda value: DIP(value, 1.0, covariance_of_means),
    "DIP.lambda_d_factor": lambda value: DIP(1.0, value, covariance_of_means),
    "AnnealedKL.gamma": lambda value: AnnealedKL(value, 1.0, 10),
    "AnnealedKL.c_max": lambda value: AnnealedKL(1.0, value, 10),
    "AnnealedKL.iteration_threshold": lambda value: AnnealedKL(1.0, 1.0, value),
    "FactorVAE.gamma": lambda value: FactorVAE(None, None, None, None, value),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("value", [-1, True, "4", None, math.nan, math.inf])
def test_a_strength_is_a_finite_number(name, value):
    with pytest.raises(UserError, match=f"{name} must be a number of at least [01], got {value!r}"):
        MAKERS[name](value)


@pytest.mark.parametrize("value", [0, 0.5, np.float32(2), np.int64(3)])
def test_numbers_of_any_library_pass(value):
    check_number(0, some__weight=value)


def test_the_switch_of_the_second_batch_is_no_text():
    with pytest.raises(UserError, match="FactorVAE.second_batch must be True or False, got 'no'"):
        FactorVAE(None, None, None, None, 1.0, second_batch="no")


@pytest.mark.parametrize(
    "message, line",
    [("one", "one"), ("\n  two \nthree", "two"), ("", "Silent"), (" \n", "Silent")],
)
def test_the_first_line_of_an_error_is_never_empty(message, line):
    class Silent(Exception):
        pass

    assert first_line(Silent(message)) == line


def test_the_closest_name_is_suggested():
    known = {"steps", "step_size", "seed"}
    assert suggest("stepz", known) == suggest("stepz", known, "none") == "; did you mean steps?"
    assert (suggest("zzz", known), suggest("zzz", known, "correct it")) == ("", "; correct it")
