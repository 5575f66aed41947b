"""The grid that the published studies share: six methods of six strengths (Locatello et al. 2019,
arXiv 1811.12359, table 2).

Fixed values (DIP's ratios, the annealing's gamma and threshold, the discriminator) are those of
gin_configs/models/<method>.gin.
"""

from dlib_tf2.studies.study import strengths

# The study's code counted an update of FactorVAE twice: its 300,000 steps are 150,001 updates, ours
# 150,000.
COUNTED_TWICE = "train.counts_per_update = 2"

# The order of the published numbers: index = 6 x method + strength.
SETTINGS = (
    *strengths("beta_vae", "BETA", (1, 2, 4, 6, 8, 16)),
    *strengths("factor_vae", "GAMMA", (10, 20, 30, 40, 50, 100), COUNTED_TWICE),
    *strengths("dip_vae_i", "LAMBDA_OD", (1, 2, 5, 10, 20, 50)),
    *strengths("dip_vae_ii", "LAMBDA_OD", (1, 2, 5, 10, 20, 50)),
    *strengths("beta_tc_vae", "BETA", (1, 2, 4, 6, 8, 10)),
    *strengths("annealed_vae", "C_MAX", (5, 10, 25, 50, 75, 100)),
)

DATASETS = (
    "dsprites_full",
    "color_dsprites",
    "noisy_dsprites",
    "scream_dsprites",
    "smallnorb",
    "cars3d",
    "shapes3d",
)
