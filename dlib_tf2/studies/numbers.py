"""Model numbers as people write them: "0:1800", "0,5,7", "0:54,60", and back."""

import re
from collections.abc import Iterable

from dlib_tf2.errors import UserError


def parse_numbers(text: str, total: int) -> list[int]:
    """The numbers that a text names, in its order, each once.

    Args:
        text: numbers and ranges first:end (without the end; either may be left out), joined by
            commas; "" for all.
        total: number of models in the study.

    Raises:
        UserError: it is something else, or names a model that the study does not have.
    """
    numbers: dict[int, None] = {}
    for part in (text or ":").replace(" ", "").split(","):
        if not (match := re.fullmatch(r"(\d+)|(\d*):(\d*)", part)):
            raise UserError(
                f"--models has {part!r}; expected a number or a range such as 0:{total}, joined by"
                " commas"
            )
        single, first, end = match.groups()
        start, stop = (
            (int(single), int(single) + 1) if single else (int(first or 0), int(end or total))
        )
        if not start < stop <= total:
            raise UserError(
                f"--models has {part!r}, but the study's models are 0 .. {total - 1} (all of them:"
                f" 0:{total})"
            )
        numbers |= dict.fromkeys(range(start, stop))
    return list(numbers)


def format_numbers(numbers: Iterable[int]) -> str:
    """The shortest text that `parse_numbers` reads as these numbers, sorted."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number:
            runs[-1][1] += 1
        else:
            runs.append([number, number + 1])
    return ",".join(str(first) if end == first + 1 else f"{first}:{end}" for first, end in runs)
