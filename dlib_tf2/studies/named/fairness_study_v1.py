"""The same 12,600 models, scored for fairness too (Locatello et al., NeurIPS 2019, arXiv
1905.13662): model_num = 1800 d + 50 m + seed.
"""

from dlib_tf2.studies.grids import DATASETS, SETTINGS
from dlib_tf2.studies.study import Study, product

STUDY = Study(
    product(DATASETS, SETTINGS, range(50)),
    gin_config=("studies/fairness_study_v1.gin",),
    suites={"study": "suites/fairness_study.gin", "fast": "suites/fairness_fast.gin"},
)
