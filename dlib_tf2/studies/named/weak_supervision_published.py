"""Weak supervision as far as its grid is known (Locatello et al., ICML 2020, arXiv 2002.02886):
model_num = 480 d + 10 m + seed, m = 6 (2 method + k) + strength.

Known: the strengths, and that one factor or a random number of them changes. Not known: the number
of seeds (10 here), the list of datasets (those here that download), learning rates, and which of
the label-free and labelled methods ran with which K. The numbers are ours: no published model has
one of them. The old library drew pairs by the rule "locatello" and measured divergence "forward":
--gin_bindings="PairSampler.rule = 'locatello'" --gin_bindings="PairVAE.divergence = 'forward'".
"""

from dlib_tf2.studies.study import Study, product, strengths

STRENGTHS = (1, 2, 4, 6, 8, 16)
SETTINGS = tuple(
    setting
    for method in ("gvae", "ml_vae", "ada_gvae", "ada_ml_vae")
    for k in (1, -1)
    for setting in strengths(method, "BETA", STRENGTHS, f"K = {k}")
)

STUDY = Study(
    product(("dsprites_full", "smallnorb", "cars3d", "shapes3d", "mpi3d_toy"), SETTINGS, range(10)),
    gin_config=("studies/unsupervised_study_v1.gin",),
    representations=("mean",),
)
