"""What others need to know of a metric, declared in its own file and read without running it."""

import ast
import dataclasses
import pathlib
import re
from collections.abc import Sequence

from dlib_tf2.configuration import gin_text

_METRICS = pathlib.Path(__file__).parents[1] / "metrics"
COSTS = ("instant", "seconds", "minutes")


@dataclasses.dataclass(frozen=True)
class Headline:
    """The one score that a metric is read by; each metric's file has one, as `HEADLINE`.

    Attributes:
        key: of the score in the metric's result, at its default sizes.
        higher_is_better: the direction.
        low, high: the range of the score; None where it has no bound.
        random: the score of codes that are independent of the factors, on those of dSprites.
        cost: of the metric's most expensive gin file on the factors of dSprites with two cores:
            "instant" (about a second), "seconds" (up to half a minute) or "minutes".
        perfect_beats: codes that perfect ones score better than, of "noise" and "constant".
    """

    key: str
    higher_is_better: bool
    low: float | None
    high: float | None
    random: float
    cost: str
    perfect_beats: tuple[str, ...] = ("noise", "constant")

    def __post_init__(self) -> None:
        if self.cost not in COSTS:
            raise ValueError(f"cost is {self.cost!r}; expected one of {', '.join(COSTS)}")


def headline(name: str) -> Headline | None:
    """The declaration in `dlib_tf2/metrics/<name>.py`, whose packages are not loaded for it.

    Args:
        name: of a module of `dlib_tf2/metrics`.

    Returns:
        The declaration; None if there is no such file, or none in it.
    """
    path = _METRICS / f"{name}.py"
    if not path.is_file():
        return None
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HEADLINE":
            assert isinstance(node.value, ast.Call)
            return Headline(
                **{str(word.arg): ast.literal_eval(word.value) for word in node.value.keywords}
            )
    return None


def of_metric(name: str) -> Headline | None:
    """The declaration of the function that `metrics/<name>.gin` runs; None if it is not ours."""
    text = gin_text.find_file(f"metrics/{name}.gin").read_text(encoding="utf-8")
    bound = re.search(rf"^{name}/metric.function = @(\w+)", text, re.M)
    return headline(bound[1] if bound else name)


def expanded(names: Sequence[str]) -> list[str]:
    """The names; ["all"] is every metric that ships with a gin file and declares a headline."""
    if list(names) != ["all"]:
        return list(names)
    files = (gin_text.config_dir() / "metrics").glob("*.gin")
    return sorted(path.stem for path in files if of_metric(path.stem))
