"""Package metadata, dependencies and commands; settings of tools are in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "dlib_tf2" / "__init__.py").read_text())[1]
GIN_FOLDERS = sorted(
    {path.parent.relative_to(ROOT) for path in (ROOT / "gin_configs").rglob("*.gin")}
)

setup(
    name="dlib_tf2",
    version=VERSION,
    description=(
        "Disentangled representation learning in TensorFlow 2: train, encode, score and study"
    ),
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    keywords="disentanglement, representation learning, variational autoencoder, TensorFlow, Keras",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        *(
            f"Programming Language :: Python :: {version}"
            for version in ("3", "3 :: Only", "3.11", "3.12", "3.13")
        ),
    ],
    # The gin files live at the top level of the repository and inside the package once it is
    # installed.
    packages=[
        *find_packages(include=["dlib_tf2", "dlib_tf2.*"]),
        *(".".join(["dlib_tf2", *folder.parts]) for folder in GIN_FOLDERS),
    ],
    package_dir={".".join(["dlib_tf2", *folder.parts]): str(folder) for folder in GIN_FOLDERS},
    package_data={"": ["*.gin", "*.md", "*.bib", "*.txt", "*.tsv", "*.bash", "*.css"]},
    scripts=sorted(
        str(path.relative_to(ROOT)) for path in (ROOT / "bin").iterdir() if path.is_file()
    ),
    install_requires=[
        "absl-py>=2.0",
        "etils[epath]",
        "gin-config>=0.5.0",
        # TFDS needs it for builders that live in packages and does not say so
        "importlib_resources",
        "h5py",
        "joblib>=1.3",
        "keras>=3.8",
        "lightgbm>=4.0",  # its wheel needs the system library libgomp1
        "matplotlib>=3.8",
        "numpy>=1.26",
        "pillow>=9.1",
        "pandas>=2.2",
        "pyarrow>=15",
        "scikit-learn>=1.5",
        "scipy>=1.11",
        "tensorboard",  # no dependency of TensorFlow since 2.21
        "tensorflow>=2.19,<2.22",
        "tensorflow-datasets>=4.9.7",
        "tensorflow-probability[tf]>=0.25",
        "threadpoolctl>=3.0",
    ],
    extras_require={
        # dill: TFDS's own test case for builders imports it without declaring it
        "dev": ["dill", "mypy", "pytest", "pytest-xdist", "ruff", "setuptools>=68", "wheel"],
        "docs": ["mkdocs-material>=9.5,<10", "mkdocstrings[python]>=0.30"],  # make docs
        "ray": ["ray>=2.9"],  # sweeps on a cluster
    },
)
