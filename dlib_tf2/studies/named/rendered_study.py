"""A study for a laptop on data that is drawn, not downloaded, 108 models: model_num = 54 d + 3 m +
seed, m = 3 x method + strength.

Three of the published six strengths of each method, 3,000 updates, and schedules shortened to
match.
"""

from dlib_tf2.studies.grids import COUNTED_TWICE
from dlib_tf2.studies.study import Study, product, strengths

SETTINGS = (
    *strengths("beta_vae", "BETA", (1, 4, 16)),
    *strengths("factor_vae", "GAMMA", (10, 30, 100), "STEPS = 6000", COUNTED_TWICE),
    *strengths("dip_vae_i", "LAMBDA_OD", (1, 5, 50)),
    *strengths("dip_vae_ii", "LAMBDA_OD", (1, 5, 50)),
    *strengths("beta_tc_vae", "BETA", (1, 4, 10)),
    *strengths("annealed_vae", "C_MAX", (5, 25, 100), "ITERATION_THRESHOLD = 1000"),
)

STUDY = Study(
    product(("rendered_sprites/small", "rendered_shapes3d/small"), SETTINGS, range(3)),
    gin_config=("studies/rendered_study.gin",),
    suite="fast",
)
