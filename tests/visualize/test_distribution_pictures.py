"""Pictures of distributions: maps hold the joint probabilities, bars each factor's own, and titles
the numbers of the record.
"""

import importlib.util
import pathlib
import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from dlib_tf2.datasets.distributions import (
    GridDistribution,
    correlate,
    first,
    hold_out,
    interpolate,
)
from dlib_tf2.datasets.factor_space import FactorSpace
from dlib_tf2.errors import UserError
from dlib_tf2.visualize import distribution_pictures
from dlib_tf2.visualize.distribution_pictures import Panel, figure, joint, panels_of

ROOT = pathlib.Path(__file__).parents[2]
SPACE = FactorSpace(("a", "b", "c", "long_name"), (4, 3, 5, 12))


def by_hand(distribution, i, j):
    """The joint of two factors, row by row of the grid."""
    table = np.zeros((SPACE.sizes[i], SPACE.sizes[j]))
    factors = SPACE.to_factors(np.arange(SPACE.size))
    for row, probability in zip(factors, distribution.probabilities(SPACE), strict=True):
        table[row[i], row[j]] += probability
    return table


def test_a_joint_is_the_sum_over_the_other_factors_in_either_order():
    distribution = GridDistribution(
        [correlate("a", "c", 0.2), hold_out("b == 2 and c > 2"), first(600)]
    )
    np.testing.assert_allclose(joint(distribution, SPACE, "a", "c"), by_hand(distribution, 0, 2))
    np.testing.assert_allclose(joint(distribution, SPACE, "c", "b"), by_hand(distribution, 2, 1))
    assert joint(distribution, SPACE, "a", "long_name").sum() == pytest.approx(1)


def test_a_picture_holds_the_joint_the_marginals_and_the_numbers():
    distribution = GridDistribution([correlate("a", "c", 0.3), hold_out("a == 3 and c < 2")])
    panels = panels_of(distribution, SPACE)
    assert [(panel.a, panel.b) for panel in panels] == [("a", "c")]
    facts = distribution.facts(SPACE)
    made = figure(panels, "a title")
    (axis,) = made.axes
    expected = by_hand(distribution, 0, 2)
    (image,) = axis.get_images()
    np.testing.assert_allclose(image.get_array().filled(0), expected)
    np.testing.assert_array_equal(image.get_array().mask, expected == 0)
    assert (image.norm.vmin, image.norm.vmax) == (0, pytest.approx(expected.max()))
    above, beside = axis.child_axes
    np.testing.assert_allclose([bar.get_height() for bar in above.patches], expected.sum(axis=0))
    np.testing.assert_allclose([bar.get_width() for bar in beside.patches], expected.sum(axis=1))
    assert above.get_title() == (
        f"r {facts['correlation:a,c']:.3f}, {facts['mutual_information:a,c']:.3f} nats\n"
        "10 % held out"
    )
    assert (axis.get_ylabel(), axis.get_xlabel().split("\n")[0]) == ("a", "c")


@pytest.mark.parametrize(
    "parts, factors, pairs",
    [
        ([], None, ["ab"]),
        ([first(9)], None, ["ab"]),
        ([interpolate("c")], None, ["ca"]),
        ([hold_out("c == 1 and a > 2 or b == 0")], None, ["ab", "ac", "bc"]),
        ([correlate("c", "a", 0.1), correlate("c", "b", 0.1)], None, ["ca", "cb"]),
        ([correlate("c", "a", 0.1), interpolate("b")], None, ["ca"]),
        ([correlate("c", "a", 0.1), hold_out("a == b + 1")], None, ["ca", "ab"]),
        ([correlate("c", "a", 0.1)], ["b", "a"], ["ba"]),
    ],
)
def test_the_pairs_are_those_that_the_parts_speak_of(parts, factors, pairs):
    panels = panels_of(GridDistribution(parts), SPACE, factors)
    assert [panel.a + panel.b for panel in panels] == pairs


def test_captions_say_what_there_is():
    distribution = GridDistribution([correlate("a", "c", 0.2)])
    assert distribution_pictures.caption(GridDistribution(), SPACE, "a", "b") == "uniform"
    said = distribution_pictures.caption(distribution, SPACE, "c", "a")
    assert re.fullmatch(r"r 0\.\d{3}, \d\.\d{3} nats", said)
    assert distribution_pictures.caption(distribution, SPACE, "a", "b") == ""
    half = GridDistribution([hold_out("long_name > 5")])
    assert distribution_pictures.caption(half, SPACE, "a", "b") == "50 % held out"


def test_mistakes_are_one_line():
    with pytest.raises(UserError, match="unknown factor 'x'; this grid has a, b, c"):
        joint(GridDistribution(), SPACE, "a", "x")
    with pytest.raises(UserError, match="two factors, got 'a' twice"):
        joint(GridDistribution(), SPACE, "a", "a")
    with pytest.raises(UserError, match="no panel to draw"):
        figure(panels_of(GridDistribution(), SPACE, ["a"]))


def visible_texts(made):
    """The box of every text that is drawn, in pixels."""
    canvas = FigureCanvasAgg(made)
    canvas.draw()
    renderer = canvas.get_renderer()
    for text in made.findobj(Text):
        if text.get_text() and text.get_visible():
            yield text.get_text(), text.get_window_extent(renderer)


def test_no_text_of_the_page_pictures_is_cut_or_overlaps():
    spec = importlib.util.spec_from_file_location(
        "make_distribution_pictures", ROOT / "docs" / "make_distribution_pictures.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for name, make in script.PICTURES.items():
        assert (ROOT / "docs" / "pictures" / f"distributions_{name}.png").is_file()
        made = figure(*make())
        boxes = [(text, box) for text, box in visible_texts(made) if box.width > 0]
        inside = made.bbox
        for text, box in boxes:
            assert inside.x0 <= box.x0 < box.x1 <= inside.x1, (name, text)
            assert inside.y0 <= box.y0 < box.y1 <= inside.y1, (name, text)
        for number, (text, box) in enumerate(boxes):
            for other, other_box in boxes[number + 1 :]:
                assert not box.overlaps(other_box), (name, text, other)


def test_panels_are_laid_out_in_rows():
    panels = [Panel(GridDistribution(), SPACE, "a", "b")] * 5
    made = figure(panels, across=2)
    assert len(made.axes) == 6
    assert [axis.get_visible() for axis in made.axes] == [True] * 5 + [False]
