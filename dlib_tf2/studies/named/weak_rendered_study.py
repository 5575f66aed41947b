"""Weak supervision for a laptop, 36 models: model_num = 18 d + 3 m + seed, m = the place in
`SETTINGS`.

Small networks and 1,000 updates of 32 images, or of 32 pairs in which
one factor changes.
"""

from dlib_tf2.studies.study import Study, product, strengths

SETTINGS = (
    *strengths("beta_vae", "BETA", (1,)),
    *strengths("gvae", "BETA", (1,), "K = 1"),
    *strengths("ml_vae", "BETA", (1,), "K = 1"),
    *strengths("ada_gvae", "BETA", (1,), "K = 1"),
    *strengths("ada_ml_vae", "BETA", (1,), "K = 1"),
    *strengths("slow_vae", "GAMMA", (10,)),
)

STUDY = Study(
    product(("rendered_shapes3d/small", "rendered_sprites/small"), SETTINGS, range(3)),
    gin_config=("studies/weak_rendered_study.gin",),
    representations=("mean",),
    suites={"three": "suites/three.gin", "fast": "suites/fast.gin", "study": "suites/study.gin"},
    suite="three",
)
