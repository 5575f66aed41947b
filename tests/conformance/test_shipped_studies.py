"""Finds every study by itself and checks what all of them promise."""

import pathlib

import pytest

from dlib_tf2.configuration import gin_text
from dlib_tf2.studies import finding, plan

FOLDER = pathlib.Path(finding.__file__).parent / "named"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def test_studies_are_found():
    assert {"unsupervised_study_v1", "rendered_study"} <= set(NAMES) <= set(finding.known_names())


@pytest.mark.parametrize("name", NAMES)
def test_every_model_is_another_and_the_first_and_last_plan(name):
    study = finding.find(name)
    assert len(set(study.configurations)) == len(study)
    first, last = (plan.make_plan(name, number) for number in (0, len(study) - 1))
    assert first.bindings != last.bindings
    assert first.metrics == last.metrics != []


@pytest.mark.parametrize("name", NAMES)
def test_its_suites_exist(name):
    study = finding.find(name)
    assert study.suite in study.suites
    for file in study.suites.values():
        assert gin_text.GinText([file]).value("evaluate.metrics")
