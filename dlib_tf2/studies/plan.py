"""What dlib_reproduce runs for one model of a study: gin files and bindings, representations,
metrics, and their fingerprint.
"""

import functools
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from dlib_tf2.configuration import gin_utils, sources
from dlib_tf2.errors import check_names
from dlib_tf2.studies.finding import find
from dlib_tf2.studies.study import Configuration

_ANY = "*"  # stands for any dataset
_INCLUDE = re.compile(r"""^\s*include\s+["']([^"']+)["']""", re.MULTILINE)


@dataclass(frozen=True)
class Plan:
    """What dlib_reproduce does.

    Attributes:
        study: its name.
        model_num: the model's number; None if a model that exists is scored.
        configuration: the model; None if a model that exists is scored.
        suite: name of the suite of metrics.
        changes: what the user bound on top of the study, in order.
        files: gin files, in order.
        bindings: gin text on top of them, `changes` last.
        representations: names.
        metrics: names.
        dataset: what the model is trained on, which `changes` may have replaced; None if a model
            that exists is scored.
        text: what the files hold.
    """

    study: str
    model_num: int | None
    configuration: Configuration | None
    suite: str
    changes: tuple[str, ...]
    files: tuple[str, ...]
    bindings: tuple[str, ...]
    representations: tuple[str, ...]
    metrics: tuple[str, ...]
    dataset: str | None
    text: gin_utils.GinText = field(compare=False, repr=False)

    @property
    def title(self) -> str:
        """The study's configuration and what was bound on top of it; empty if a model that exists
        is scored.
        """
        changed = f"; changed: {'; '.join(self.changes)}" if self.changes else ""
        return f"{self.configuration}{changed}" if self.configuration else ""

    def fingerprint(self, of_model: str = "") -> str:
        """SHA-256 of all that the results depend on: study, number, suite, bindings, the text of
        every gin file, and the source of modules outside the package that these import.

        Args:
            of_model: what identifies a model that exists.
        """
        files = (
            *self.files,
            *(f"metrics/{metric}.gin" for metric in self.metrics),
            *_INCLUDE.findall("\n".join(self.bindings)),
        )
        identity: list[object] = [
            self.study,
            self.model_num,
            self.suite,
            self.bindings,
            _digest(files),
            of_model,
        ]
        if outside := [*_outside(files), *sources.of_imports(self.bindings).items()]:
            identity.append(outside)  # only then: models of earlier versions stay done
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def make_plan(
    study: str, model_num: int | None, suite: str | None = None, changes: Sequence[str] = ()
) -> Plan:
    """Resolves a model of a study; loads nothing that gin files name.

    Args:
        study: its name.
        model_num: the model's number; None for what a model that exists is scored by.
        suite: name of a suite of the study; its own by default.
        changes: gin text that wins over the study, for all steps: "STEPS = 1000", "mig.num_train =
            100", "evaluate.metrics = ['mig']".

    Raises:
        UserError: unknown study, number or suite, or gin text that `GinText` refuses.
    """
    found = find(study)
    files, bindings = (
        [found.suite_file(suite)],
        [f"postprocess.representations = {list(found.representations)!r}"],
    )
    configuration = None if model_num is None else found.configuration(model_num)
    if configuration is not None:
        files += [f"models/{configuration.setting.method}.gin", *found.gin_config]
        labels = {"study": study, "model_num": model_num} | (
            {"changes": list(changes)} if changes else {}
        )
        bindings += [*configuration.bindings, f"train.labels = {labels!r}"]
    # Gin is asked once for all models that differ in dataset, seed and number only: a sweep plans
    # thousands.
    same = (
        bindings[:1]
        if configuration is None
        else [bindings[0], *configuration._replace(dataset=_ANY, seed=0).bindings]
    )
    representations, metrics, dataset, text = _resolved(tuple(files), (*same, *changes))
    if configuration is not None and dataset == _ANY:
        dataset = configuration.dataset
    bindings += changes
    name = suite or found.suite
    return Plan(
        study,
        model_num,
        configuration,
        name,
        tuple(changes),
        tuple(files),
        tuple(bindings),
        representations,
        metrics,
        dataset,
        text,
    )


@functools.cache
def _resolved(
    files: tuple[str, ...], bindings: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...], str | None, gin_utils.GinText]:
    """Checks gin text, and reads representations, metrics and the dataset from it."""
    text = gin_utils.GinText(files, bindings)
    chosen = []
    for key, example in (("postprocess.representations", "mean"), ("evaluate.metrics", "mig")):
        check_names(key, text.value(key), example)
        chosen.append(tuple(dict.fromkeys(text.value(key))))
    return chosen[0], chosen[1], text.value("train.dataset"), text


@functools.cache
def _digest(files: tuple[str, ...]) -> str:
    """SHA-256 of the text of gin files and of those they include."""
    return hashlib.sha256(json.dumps(_texts(files)).encode()).hexdigest()


@functools.cache
def _outside(files: tuple[str, ...]) -> list[tuple[str, str]]:
    """Name and SHA-256 of modules outside the package that gin files import."""
    return list(sources.of_imports(_texts(files).values()).items())


def _texts(files: tuple[str, ...]) -> dict[str, str]:
    """The text of gin files and of those they include, by name."""
    texts: dict[str, str] = {}
    for file in files:
        _add_text(texts, file)
    return texts


def _add_text(texts: dict[str, str], name: str) -> None:
    """Adds the text of a gin file and of those it includes."""
    if name in texts:
        return
    texts[name] = gin_utils.find_file(name).read_text(encoding="utf-8")
    for included in _INCLUDE.findall(texts[name]):
        _add_text(texts, included)
