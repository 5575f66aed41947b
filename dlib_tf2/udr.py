"""UDR, unsupervised disentanglement ranking: models of one setting that agree up to order and sign
are taken for disentangled ones.
"""

import functools
import hashlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gin
import joblib
import numpy as np
from numpy.typing import NDArray

from dlib_tf2 import seeds
from dlib_tf2.configuration import gin_utils, metric_config, sources
from dlib_tf2.errors import ScoreWarning, UserError, check_number, check_whole
from dlib_tf2.metrics import collecting
from dlib_tf2.records import results
from dlib_tf2.representations.representation import Representation
from dlib_tf2.representations.table import checked_reals
from dlib_tf2.system.files import atomic_write
from dlib_tf2.system.folders import Written, exactly, hold_folder
from dlib_tf2.system.paths import AnyPath, as_path
from dlib_tf2.system.workers import spread

Matrix = NDArray[np.float64]
_WRITTEN = Written({**results.WRITTEN, **exactly("relations.npz")})
# (latents [n, d], targets [n, t]) -> non-negative [d, t]
Relation = Callable[[Matrix, Matrix], Matrix]


@gin.register
def lasso_relation(alpha: float = 0.1) -> Relation:
    """Makes the relation |coefficients| of a lasso that predicts each of `targets` from
    standardised `latents`.

    The penalty shrinks every coefficient by about `alpha`: two identical perfect models agree by 1
    - alpha, not by 1.

    Raises:
        UserError: `alpha` is no finite number above 0.
    """
    check_number(0, lasso_relation__alpha=alpha)
    if alpha == 0:
        raise UserError(
            "lasso_relation.alpha must be above 0, got 0; without a penalty it is no lasso"
        )
    return functools.partial(_lasso, alpha=alpha)


@gin.register
def spearman_relation() -> Relation:
    """Makes the relation |Spearman correlation| of each of `latents` with each of `targets`, 0
    where one is constant.
    """
    return _spearman


def _on_one_thread(relate: Relation, latents: Matrix, targets: Matrix) -> Matrix:
    """Also outside of joblib's workers, whose threads it limits: the last digits of a product may
    depend on the number of threads.
    """
    import sklearn.linear_model  # noqa: F401  # only libraries that are loaded are limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return relate(latents, targets)


def _lasso(latents: Matrix, targets: Matrix, alpha: float) -> Matrix:
    from sklearn.linear_model import Lasso

    return np.abs(Lasso(alpha=alpha).fit(latents, targets).coef_.reshape(targets.shape[1], -1)).T


def _spearman(latents: Matrix, targets: Matrix) -> Matrix:
    from scipy.stats import rankdata

    ranks = [_standardise(rankdata(columns, axis=0)) for columns in (latents, targets)]
    return np.abs(ranks[0].T @ ranks[1]) / len(latents)


class Ranking(NamedTuple):
    """What UDR says about M models."""

    model_scores: Matrix  # [M], higher is better
    pair_scores: Matrix  # [M, M]: how well model i explains model j, in [0, 1]; the diagonal is 0
    num_informative: NDArray[np.int64]  # [M] latents whose KL passes the threshold
    # of every ordered pair: [latents of i, latents of j], before the filter
    relations: dict[tuple[int, int], Matrix]


@gin.register
def udr(
    codes: Sequence[NDArray[Any]],
    latent_kl: Sequence[NDArray[Any]],
    rng: np.random.Generator,
    num_data_points: int = 1000,
    relation: Callable[[], Relation] = lasso_relation,
    kl_threshold: float = 0.01,
    filter_low_kl: bool = True,
) -> Ranking:
    """Computes UDR of Duan et al., ICLR 2020 (arXiv 1905.12614), section 5, as the public
    implementation defines it.

    Latents are standardised, and those whose KL does not exceed the threshold set to 0. For each
    ordered pair of models a matrix says how latents of i relate to those of j; low-KL rows and
    columns are left out; the pair scores half the mean over columns of max^2 / sum, plus half the
    same over rows. (The paper divides both sums by the total number of informative latents instead:
    equal where both models have equally many.) A model's score is the median over the other models
    of the scores with it as the target.

    Identical perfect models score 0.9 with lasso (see `lasso_relation`) and 0.9 to 1 with Spearman,
    whose chance correlations count; independent ones about 1 / (number of latents) or less. A model
    without an informative latent scores 0 with every other, which lowers their medians too: leave
    it out.

    Two differences from the original code. It zeroes latents at a KL of 0.01 whatever the
    threshold, which here zeroes them itself. With a constant latent, which a zeroed one is, its
    Spearman relation is NaN in every column; here a constant latent has relation 0 to each target,
    and the others keep theirs.

    Args:
        codes: M arrays [n, d_i], two at least, of the posterior means of the same n images; numbers
            of latents may differ.
        latent_kl: M arrays [d_i]: KL from the posterior to the prior of each latent, averaged over
            images, in nats.
        rng: source of the rows.
        num_data_points: rows used, at least 2; drawn with replacement.
        relation: makes (latents [n, d], targets [n, t]) -> non-negative [d, t], a function that
            pickles: gin's own do not.
        kl_threshold: a latent is informative if its KL is larger.
        filter_low_kl: leave uninformative latents out of the pair's matrix; if not, they are rows
            and columns that score 0.

    Raises:
        UserError: fewer than two models, arrays that do not fit together or are not finite, fewer
            than two points, or a bad parameter.
    """
    check_number(0, kl_threshold=kl_threshold)
    if not isinstance(filter_low_kl, bool):
        raise UserError(f"filter_low_kl must be True or False, got {filter_low_kl!r}")
    if not callable(relation):
        raise UserError(
            f"relation = {relation!r}, expected @lasso_relation or @spearman_relation, or another"
            " function that makes a relation"
        )
    relate = relation()
    checked = _check(codes, latent_kl, num_data_points)
    informative = [np.asarray(kl) > kl_threshold for kl in latent_kl]
    rows = rng.integers(len(checked[0]), size=num_data_points)
    _warn(checked, informative, num_data_points)
    latents = [
        _standardise(array[rows].astype(np.float64)) * keep
        for array, keep in zip(checked, informative, strict=True)
    ]
    ends = np.cumsum([array.shape[1] for array in latents])
    # one call per model: the models are targets of one another all at once
    everyone = np.concatenate(latents, axis=1)
    whole = spread(joblib.delayed(_on_one_thread)(relate, array, everyone) for array in latents)
    relations, scores = {}, np.zeros((len(latents), len(latents)))
    for i, of_model in enumerate(whole):
        for j, matrix in enumerate(np.split(of_model, ends[:-1], axis=1)):
            if i != j:
                relations[i, j] = matrix
                scores[i, j] = pair_score(
                    matrix[informative[i]][:, informative[j]] if filter_low_kl else matrix
                )
    medians = [float(np.median(np.delete(scores[:, i], i))) for i in range(len(latents))]
    return Ranking(
        np.array(medians), scores, np.array([keep.sum() for keep in informative]), relations
    )


def _warn(
    codes: Sequence[NDArray[np.float32]],
    informative: Sequence[NDArray[np.bool_]],
    num_data_points: int,
) -> None:
    """Warns of models without a latent to compare, and of fewer rows than are drawn."""
    pairs = enumerate(zip(codes, informative, strict=True))
    none = [str(i) for i, (array, keep) in pairs if not (np.ptp(array, axis=0) > 0)[keep].any()]
    if none:
        text = f"no latent of model {', '.join(none)} is informative and varies: it scores 0 with"
        text += " every other model, and lowers their scores: leave it out"
        warnings.warn(ScoreWarning("no_active_code", text), stacklevel=2)
    if (there := len(codes[0])) < num_data_points:
        text = f"{num_data_points:,} rows are drawn with replacement from {there:,}: scores of"
        text += " latents that agree by chance are too high"
        warnings.warn(ScoreWarning("few_rows", text), stacklevel=2)


def pair_score(relation: Matrix) -> float:
    """Half the mean over columns of (column maximum)^2 / (column sum), plus half the same over
    rows; 0 / 0 counts 0, so does no entry.
    """
    if not relation.size:
        return 0.0
    halves = []
    for axis in (0, 1):
        total = relation.sum(axis=axis)
        halves.append(
            np.divide(
                relation.max(axis=axis) ** 2, total, out=np.zeros_like(total), where=total > 0
            ).mean()
        )
    return float(0.5 * sum(halves))


def rank_folders(
    input_dirs: Sequence[str | os.PathLike],
    output_dir: str | os.PathLike,
    seed: int = 0,
    num_workers: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Ranks the models of representation folders, and writes `results.json` and `relations.npz`
    ("i_j": latents of i by latents of j).

    The KL of each latent is what `dlib_postprocess` found when it encoded the images. A ranking
    that is there already, of the same codes with the same parameters, is not computed again.

    Args:
        input_dirs: folders with representation.npz, `mean` ones in the paper, of one dataset.
        output_dir: a folder of ours, or one that is empty or does not exist.
        seed: of the rows.
        num_workers: processes; all cores by default. Scores do not depend on it.
        overwrite: delete a ranking that is there, and compute again.

    Returns:
        The values in `results.json`: `models` (the folders), and in their order `model_scores`,
        `num_informative`,
        `pairwise_disentanglement_scores`.

    Raises:
        UserError: a folder holds no such representation, is named twice or shows other examples;
            another configuration or another process is in `output_dir`.
    """
    started, folders = time.time(), [as_path(folder) for folder in input_dirs]
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        raise UserError(
            f"{len(folders)} input folders, expected at least two different ones: a model is ranked"
            " by those it agrees with"
        )
    workers = joblib.cpu_count() if num_workers is None else num_workers
    tables, records = zip(*map(_read, folders), strict=True)
    for folder, table in zip(folders, tables, strict=True):
        if not np.array_equal(table.factors, tables[0].factors):
            raise UserError(
                f"{folder} shows other examples than {folders[0]}; UDR compares codes of the same"
                " images, of one dataset"
            )
    call = metric_config.resolve("udr")
    labels: dict[str, Any] = {
        "metric": "udr",
        "evaluation_seed": seed,
        "dataset": results.label(records[0], "dataset"),
    }
    labels["models"] = [str(folder.resolve()) for folder in folders]
    labels["codes_sha256"] = [hashlib.sha256(table.codes.tobytes()).hexdigest() for table in tables]
    with hold_folder(output_dir, "udr", _WRITTEN, overwrite, keep=folders) as target:
        if results.is_complete(target):
            return _earlier_values(target, labels, call.config_text)
        kl = [_latent_kl(record, folder) for record, folder in zip(records, folders, strict=True)]
        with (
            joblib.parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1),
            collecting() as found,
        ):
            ranking: Any = call([table.codes for table in tables], kl, seeds.generator(seed, "udr"))
        values = {
            "models": [str(folder) for folder in folders],
            "model_scores": ranking.model_scores.tolist(),
            "num_informative": ranking.num_informative.tolist(),
            "pairwise_disentanglement_scores": ranking.pair_scores.tolist(),
        }
        with atomic_write(target / "relations.npz") as file:
            np.savez(file, **{f"{i}_{j}": matrix for (i, j), matrix in ranking.relations.items()})
        told = [{"kind": warning.kind, "text": str(warning)} for warning in found]
        for warning in told:
            print(f"warning: udr: {warning['text']}", file=sys.stderr)
        results.write_step(
            target,
            "udr",
            values,
            started=started,
            labels=labels,
            config_text=call.config_text,
            warnings=told,
        )
    return values


def _earlier_values(target: AnyPath, labels: dict[str, Any], config_text: str) -> dict[str, Any]:
    """The values of a ranking that is there, if it is the one that is asked for."""
    there = results.read_step(target)
    if there["labels"] != labels or there["config"] != gin_utils.typed_bindings(config_text):
        raise UserError(
            f"{target} holds a ranking of other models or parameters; use --overwrite or another"
            " output folder"
        )
    if changed := sources.change(there.get("sources"), sources.of_text(config_text, imports=True)):
        raise UserError(
            f"{target} holds another ranking: {changed}; use --overwrite or another output folder"
        )
    return there["values"]


def _read(folder: AnyPath) -> tuple[Representation, dict[str, Any]]:
    """The table of a representation folder, and the record of the step that made it."""
    if not (folder / "representation.npz").is_file():
        raise UserError(
            f"{folder} holds no representation.npz; name folders that dlib_postprocess wrote, such"
            " as output/codes/mean"
        )
    if not (folder / "results.json").is_file():
        raise UserError(
            f"{folder} holds no results.json, the record of each latent's KL; name a folder that"
            " dlib_postprocess finished"
        )
    table, record = Representation.load(folder / "representation.npz"), results.read_step(folder)
    results.refuse_changed_codes(folder, record)
    if not results.label(record, "posterior_trained", True):
        raise UserError(
            f"the log-variances of the model of {folder} were never trained (VAE.detach), so that"
            " the KL of its latents says nothing of which are in use; leave it out"
        )
    return table, record


def _latent_kl(record: dict[str, Any], folder: AnyPath) -> NDArray[np.float64]:
    """The KL per latent, which the step that encoded the images recorded."""
    found = next(
        (
            step["values"]["latent_kl"]
            for step in results.history(record)
            if "latent_kl" in step["values"]
        ),
        None,
    )
    if found is None:
        raise UserError(
            f"the record of {folder} has no latent_kl; make the representation with"
            " dlib_postprocess"
        )
    return np.asarray(found, dtype=np.float64)


def _check(
    codes: Sequence[Any], latent_kl: Sequence[Any], num_data_points: int
) -> list[NDArray[np.float32]]:
    check_whole(2, num_data_points=num_data_points)
    if len(codes) < 2 or len(codes) != len(latent_kl):
        raise UserError(
            f"got codes of {len(codes)} models and KL of {len(latent_kl)}; expected two models or"
            " more, as many of each"
        )
    checked = [
        checked_reals(f"codes of model {number}", array) for number, array in enumerate(codes)
    ]
    for number, (array, kl) in enumerate(zip(checked, latent_kl, strict=True)):
        if len(array) != len(checked[0]):
            raise UserError(
                f"codes of model {number} have {len(array)} rows, those of model 0"
                f" {len(checked[0])}; row i must be one image"
            )
        if np.shape(kl) != (array.shape[1],) or not np.isfinite(kl).all():
            raise UserError(
                f"latent_kl of model {number} has shape {np.shape(kl)}, expected"
                f" ({array.shape[1]},) finite numbers"
            )
    return checked


def _standardise(columns: Matrix) -> Matrix:
    """Mean 0 and population variance 1 of each column; 0 where it is constant."""
    spread = np.where(np.ptp(columns, axis=0) > 0, columns.std(axis=0), 1.0)
    return np.where(np.ptp(columns, axis=0) > 0, (columns - columns.mean(axis=0)) / spread, 0.0)
