"""Cars3D (Reed et al. 2015): 183 car models from 24 azimuths and 4 elevations."""

from dlib_tf2.datasets import downloaded
from dlib_tf2.datasets.download import RemoteFile
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.datasets.image_table import TableInfo

FILE = RemoteFile(
    "nips2015-analogy-data.tar.gz",
    "http://www.scottreed.info/files/nips2015-analogy-data.tar.gz",
    at_most=1_200_000_000,
    md5="4e866a7919c1beedf53964e6f7a23686",  # as others report it; the authors publish none
)
SPACE = FactorSpace(("elevation", "azimuth", "object"), (4, 24, 183))
SHAPE = (64, 64, 3)
RECIPE: downloaded.Recipe = downloaded.Recipe(
    "cars3d/1.0.0",
    lambda builder: TableInfo(SPACE, SPACE.names, SHAPE, 255, RECIPE.source),
    table_bytes=SPACE.size * 64 * 64 * 3,
    record_bytes=SPACE.size * 6000,
    remote=(FILE,),
)
