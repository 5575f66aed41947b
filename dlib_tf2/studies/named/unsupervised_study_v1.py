"""The 12,600 models of Locatello et al., ICML 2019, arXiv 1811.12359: model_num = 1800 d + 50 m +
seed.

About 2.5 years on one GPU of 2018 (P100); one model is about 4 hours on 2 CPU cores.
"""

from dlib_tf2.studies.grids import DATASETS, SETTINGS
from dlib_tf2.studies.study import Study, product

STUDY = Study(
    product(DATASETS, SETTINGS, range(50)), gin_config=("studies/unsupervised_study_v1.gin",)
)
