"""A few labels as far as their grid is known (Locatello et al., ICLR 2020, arXiv 1905.01258):
model_num = 480 d + 10 m + seed, m = 24 labels + 6 method + strength.

Known: 100 and 1,000 labelled images, 90 % of them for training; the unsupervised methods, with the
strengths of the unsupervised study. Not known: the weights of the labels (64 here, the old
library's 1), the number of seeds (10 here), the list of datasets, which labellers ran with which
loss. The numbers are ours: no published model has one of them. Noisy, binned, partial and permuted
labels: --gin_bindings="LABELLER = @noisy_labeller".
"""

from dlib_tf2.studies.grids import COUNTED_TWICE
from dlib_tf2.studies.study import Study, product, strengths

SETTINGS = tuple(
    setting
    for labels in (100, 1000)
    for setting in (
        *strengths("s2_beta_vae", "BETA", (1, 2, 4, 6, 8, 16), f"NUM_LABELLED = {labels}"),
        *strengths(
            "s2_factor_vae",
            "GAMMA",
            (10, 20, 30, 40, 50, 100),
            COUNTED_TWICE,
            f"NUM_LABELLED = {labels}",
        ),
        *strengths("s2_dip_vae_i", "LAMBDA_OD", (1, 2, 5, 10, 20, 50), f"NUM_LABELLED = {labels}"),
        *strengths("s2_beta_tc_vae", "BETA", (1, 2, 4, 6, 8, 10), f"NUM_LABELLED = {labels}"),
    )
)

STUDY = Study(
    product(("dsprites_full", "smallnorb", "cars3d", "shapes3d"), SETTINGS, range(10)),
    gin_config=("studies/unsupervised_study_v1.gin",),
    representations=("mean",),
)
