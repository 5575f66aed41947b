"""How the report shows a method: title, short title, colour and marker, in the paper's order.

A method that is not in the table is shown by its name, in a colour of the cycle, and a
hyperparameter that is not in it by its own name: a new method needs no change here. The table does
not stand in gin_configs/models, because the text of those files decides whether a model is done.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Method(NamedTuple):
    """How a method is shown."""

    title: str
    short: str  # where a whole method has the width of a violin
    colour: str
    marker: str


# Okabe and Ito's colours, which people with colour vision deficiencies can tell apart; markers for
# those who print in grey.
_METHODS = {
    "vae": Method("VAE", "VAE", "#444444", "X"),
    "beta_vae": Method("β-VAE", "β", "#0072B2", "o"),
    "factor_vae": Method("FactorVAE", "F", "#D55E00", "s"),
    "beta_tc_vae": Method("β-TCVAE", "TC", "#009E73", "^"),
    "dip_vae_i": Method("DIP-VAE-I", "D-I", "#CC79A7", "D"),
    "dip_vae_ii": Method("DIP-VAE-II", "D-II", "#E69F00", "v"),
    "annealed_vae": Method("AnnealedVAE", "A", "#56B4E9", "P"),
    "gvae": Method("GVAE", "G", "#8c564b", "<"),
    "ml_vae": Method("ML-VAE", "ML", "#7f7f7f", ">"),
    "ada_gvae": Method("Ada-GVAE", "AG", "#d62728", "p"),
    "ada_ml_vae": Method("Ada-ML-VAE", "AM", "#9467bd", "h"),
    "slow_vae": Method("SlowVAE", "Sl", "#17becf", "d"),
    "s2_beta_vae": Method("S2-β-VAE", "S2-β", "#1f3d7a", "o"),
    "s2_factor_vae": Method("S2-FactorVAE", "S2-F", "#8a3b00", "s"),
    "s2_beta_tc_vae": Method("S2-β-TCVAE", "S2-TC", "#00553d", "^"),
    "s2_dip_vae_i": Method("S2-DIP-VAE-I", "S2-D-I", "#7d3f63", "D"),
    "s2_dip_vae_ii": Method("S2-DIP-VAE-II", "S2-D-II", "#8a5f00", "v"),
    "supervised": Method("Supervised", "Sup", "#000000", "*"),
}
_SYMBOLS = {
    "beta": "β",
    "gamma": "γ",
    "lambda_od": "λ",
    "c_max": "C",
    "gamma_sup": "γ_sup",
    "num_labelled": "labels",
}
_CYCLE = (("#8c564b", "<"), ("#7f7f7f", ">"), ("#bcbd22", "p"), ("#1f3d7a", "h"))


def methods(names: Iterable[str]) -> dict[str, Method]:
    """How to show each of the methods: the paper's order first, then the others by name."""
    others = sorted(set(names) - set(_METHODS))
    shown = {
        name: Method(name, name, *_CYCLE[place % len(_CYCLE)]) for place, name in enumerate(others)
    }
    return {name: _METHODS[name] for name in _METHODS if name in set(names)} | shown


def title(name: str) -> str:
    """The paper's title of a method, or its name."""
    return methods([name])[name].title


def symbol(hyperparameter: str) -> str:
    """The paper's letter of a hyperparameter, or its name."""
    return _SYMBOLS.get(hyperparameter, hyperparameter)
