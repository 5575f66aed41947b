"""What a study is: an ordered list of configurations, each a dataset, a method with its strength,
and a seed.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dlib_tf2.errors import UserError

SUITES = {"study": "suites/study.gin", "fast": "suites/fast.gin"}


class Setting(NamedTuple):
    """A method with its strength.

    Attributes:
        method: name of the file under gin_configs/models.
        bindings: gin text, the macro of the strength first.
    """

    method: str
    bindings: tuple[str, ...]


class Configuration(NamedTuple):
    """One model of a study."""

    dataset: str
    setting: Setting
    seed: int

    @property
    def bindings(self) -> tuple[str, ...]:
        """Gin text that is set on top of the files."""
        return (f'DATASET = "{self.dataset}"', *self.setting.bindings, f"SEED = {self.seed}")

    def __str__(self) -> str:
        return (
            f"{self.setting.method} ({self.setting.bindings[0]}) on {self.dataset}, seed"
            f" {self.seed}"
        )


def strengths(method: str, macro: str, values: Sequence[float], *fixed: str) -> tuple[Setting, ...]:
    """A setting of `method` for each value of `macro`; `fixed` is gin text that all of them
    have.
    """
    return tuple(Setting(method, (f"{macro} = {float(value)}", *fixed)) for value in values)


def product(
    datasets: Sequence[str], settings: Sequence[Setting], seeds: Sequence[int]
) -> tuple[Configuration, ...]:
    """Every combination, datasets outermost and seeds innermost: model_num = (d len(settings) + m)
    len(seeds) + s.
    """
    return tuple(Configuration(*chosen) for chosen in itertools.product(datasets, settings, seeds))


@dataclass(frozen=True)
class Study:
    """A study: `STUDY` in a file of its own.

    Attributes:
        configurations: the models; a model's number is its place.
        gin_config: gin files, parsed after the method's.
        representations: see `representation.derive`.
        suites: gin files of metrics by the name that --suite gives.
        suite: the one that is used by default.
    """

    configurations: Sequence[Configuration]
    gin_config: Sequence[str] = ()
    representations: Sequence[str] = ("mean", "sampled")
    suites: Mapping[str, str] = field(default_factory=lambda: SUITES)
    suite: str = "study"

    def __len__(self) -> int:
        return len(self.configurations)

    def configuration(self, model_num: int) -> Configuration:
        """The model of a number.

        Raises:
            UserError: no model has it; a negative number does not count from the end.
        """
        if not 0 <= model_num < len(self):
            raise UserError(
                f"model_num {model_num} is not in 0 .. {len(self) - 1}, the {len(self):,} models of"
                " the study; choose one of these"
            )
        return self.configurations[model_num]

    def suite_file(self, suite: str | None) -> str:
        """The gin file of a suite of metrics, by default the study's own.

        Raises:
            UserError: the study has no suite of that name.
        """
        name = suite or self.suite
        if name not in self.suites:
            raise UserError(
                f"the study has no suite {name!r}; choose one of {', '.join(self.suites)}"
            )
        return self.suites[name]
