"""The errors that end a command with one clear line, and the exit codes they end it with.

0 done, already done, or help; 1 failure; 2 the user's mistake; 75 interrupted, run the same command
again to resume.
"""

import difflib
import math
import numbers
from collections.abc import Collection, Sequence

EXIT_DONE, EXIT_FAILURE, EXIT_USER, EXIT_INTERRUPTED = 0, 1, 2, 75
FEW = 3  # reasons in one line


class DlibError(Exception):
    """A failure whose message is one line that names the remedy; commands print it without a
    traceback.
    """

    exit_code = EXIT_FAILURE


class UserError(DlibError):
    """What the user asked for cannot be done as asked (flag, name, file, folder, shape)."""

    exit_code = EXIT_USER


class Interrupted(DlibError):
    """The work was stopped from outside and saved; the same command resumes it."""

    exit_code = EXIT_INTERRUPTED


def few(reasons: Sequence[str]) -> str:
    """The first reasons of a list, and how many more there are: a line cannot hold fifty."""
    rest = len(reasons) - FEW
    return "; ".join(reasons[:FEW]) + (f"; and {rest} more" if rest > 0 else "")


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the name of its type if the message is empty."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


def suggest(name: str, known: Collection[str], otherwise: str = "") -> str:
    """The end of a message about an unknown name: the known name that is closest to it.

    Args:
        name: the unknown name.
        known: the names that exist.
        otherwise: what to say where no name is close; by default the end is empty.
    """
    close = difflib.get_close_matches(name, sorted(known), n=1)
    otherwise = f"did you mean {close[0]}?" if close else otherwise
    return otherwise and f"; {otherwise}"


def check_number(least: float, **values: object) -> None:
    """Raises UserError unless every value is a finite number, no bool, of at least `least`; names
    are for the message.

    A keyword cannot hold a dot: write `BetaKL__beta` for "BetaKL.beta".
    """
    for name, value in values.items():
        if (
            isinstance(value, bool)
            or not isinstance(value, numbers.Real)
            or not math.isfinite(value)
            or value < least
        ):
            raise UserError(
                f"{name.replace('__', '.')} must be a number of at least {least:g}, got {value!r}"
            )


def check_whole(least: int, **values: object) -> None:
    """Raises UserError unless every value is a whole number, no bool, of at least `least`; names
    are as in `check_number`.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
            raise UserError(
                f"{name.replace('__', '.')} must be a whole number of at least {least}, got"
                f" {value!r}"
            )


def check_names(what: str, names: object, example: str) -> None:
    """Raises UserError unless `names` is a list or tuple of at least one string.

    Args:
        what: the parameter, for the message.
        names: its value.
        example: a name of the right kind, for the message.
    """
    if (
        not isinstance(names, list | tuple)
        or not names
        or not all(isinstance(name, str) for name in names)
    ):
        raise UserError(f"{what} is {names!r}; expected a list of names, such as ['{example}']")


class ScoreWarning(UserWarning):
    """A score that does not mean what it seems to.

    Attributes:
        kind: a word for programs: "overlap", "few_rows", "many_values", "no_active_code" or
            "no_held_out_rows".
        text: the sentence for people.
        binding: the setting that avoids it, such as "disjoint = True"; empty if there is none.
    """

    def __init__(self, kind: str, text: str, binding: str = ""):
        super().__init__(kind, text, binding)  # what a pickle is made from
        self.kind, self.text, self.binding = kind, text, binding

    def __str__(self) -> str:
        return f"{self.text}; set {self.binding}" if self.binding else self.text
