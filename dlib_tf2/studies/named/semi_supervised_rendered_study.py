"""A few labels for a laptop, 36 models: model_num = 18 d + 3 m + seed, m = the place in `SETTINGS`.

Networks, updates and batches are those of weak_rendered_study. A seed draws the labelled images
too.
"""

from dlib_tf2.studies.study import Setting, Study, product

SETTINGS = (
    Setting("s2_beta_vae", ("NUM_LABELLED = 100", "BETA = 1.0")),
    Setting("s2_beta_vae", ("NUM_LABELLED = 1000", "BETA = 1.0")),
    Setting("supervised", ("NUM_LABELLED = 100",)),
    Setting("supervised", ("NUM_LABELLED = 1000",)),
    Setting("s2_beta_tc_vae", ("NUM_LABELLED = 100", "BETA = 4.0")),
    Setting("s2_beta_tc_vae", ("NUM_LABELLED = 1000", "BETA = 4.0")),
)

STUDY = Study(
    product(("rendered_shapes3d/small", "rendered_sprites/small"), SETTINGS, range(3)),
    gin_config=("studies/semi_supervised_rendered_study.gin",),
    representations=("mean",),
    suites={"three": "suites/three.gin", "fast": "suites/fast.gin", "study": "suites/study.gin"},
    suite="three",
)
