"""docs/architecture.md draws the rooms and arrows that tests/test_architecture.py enforces."""

import pathlib
import re

from test_architecture import GROUND, ROOMS, WITH_TENSORFLOW

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "architecture.md").read_text()


def test_the_drawing_has_the_arrows_of_the_rules():
    arrows = re.findall(r"^    (\w+) --> (\w+)$", PAGE, flags=re.M)
    assert sorted(arrows) == sorted((room, other) for room in ROOMS for other in ROOMS[room])


def test_every_room_has_its_sentence_and_nothing_else_has():
    assert re.findall(r"^\| `(\w+)` \| \w", PAGE, flags=re.M) == list(ROOMS)


def test_the_ground_and_the_rooms_with_tensorflow_are_named():
    ground, heavy = (
        set(re.findall(r"`(\w+)`", re.search(sentence, PAGE, flags=re.S)[1]))
        for sentence in (r"every room may import: (.*?)\.\n", r"is loaded by (.*?), never by")
    )
    assert ground == GROUND - {"__version__"}
    assert heavy == WITH_TENSORFLOW & set(ROOMS)
