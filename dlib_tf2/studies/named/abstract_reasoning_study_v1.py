"""Stage 1 of van Steenkiste et al., NeurIPS 2019, arXiv 1905.12506, 360 models: model_num = 180 d +
5 m + seed.

Stage 2, the reasoning on these representations, is not part of it.
"""

from dlib_tf2.studies.grids import SETTINGS
from dlib_tf2.studies.study import Study, product

STUDY = Study(
    product(("shapes3d", "abstract_dsprites"), SETTINGS, range(5)),
    gin_config=("studies/abstract_reasoning_study_v1.gin",),
)
