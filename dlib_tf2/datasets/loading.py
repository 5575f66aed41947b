"""`load`: a dataset by its name, which is the name of a file in `named/`."""

import importlib
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType

import gin

from dlib_tf2.datasets import downloaded, image_table, table_check
from dlib_tf2.datasets.ground_truth import GroundTruthDataset
from dlib_tf2.errors import DlibError, Interrupted, UserError, few, suggest
from dlib_tf2.system.paths import AnyPath, RemotePath, as_path


def known_names() -> list[str]:
    """The names that `load` accepts: the files of `named/`, so that a new dataset is a new file and
    nothing else.
    """
    return sorted(
        path.stem
        for path in (pathlib.Path(__file__).parent / "named").glob("*.py")
        if path.stem != "__init__"
    )


def load(name: str, data_dir: str | os.PathLike | None = None) -> GroundTruthDataset:
    """Opens a dataset; one that this package draws is prepared first if necessary.

    Args:
        name: "name" or "name/config", such as "rendered_sprites/small".
        data_dir: where datasets are kept; by default $TFDS_DATA_DIR, else ~/tensorflow_datasets.
            From a bucket (gs://...) the table is copied once to a local folder, see `table_cache`.

    Raises:
        UserError: an unknown name or config, a downloaded dataset that is not prepared, or a
            data_dir that cannot be read or written.

    Examples:
        >>> import dlib_tf2
        >>> data = dlib_tf2.load_dataset("rendered_sprites/small")
        >>> data.space.sizes, data.observation_shape
        ((3, 6, 8, 16, 16), (64, 64, 1))
        >>> data.visible_factors([0, 17])
        array([[0, 0, 0, 0, 0],
               [0, 0, 0, 1, 1]])
    """
    base, _, config = name.partition("/")
    _check_config(base, config)
    return _module(base).dataset(config, data_folder(data_dir))


def check_name(name: object) -> None:
    """Refuses a name that does not exist, without opening anything; other types fail on use."""
    if not isinstance(name, str):
        return
    base = name.partition("/")[0]
    if base not in known_names():
        raise UserError(unknown("dataset", base, known_names()))


def _check_config(base: str, config: str) -> None:
    """Refuses a config that a dataset does not have, before hours of work."""
    module = _module(base)
    if hasattr(module, "DRAWING"):
        if config and config not in module.DRAWING.grids:
            raise UserError(unknown(f"config of {base}", config, module.DRAWING.grids))
    elif hasattr(module, "RECIPES"):
        downloaded.no_config(base, config)


def _recipes(name: str) -> Sequence[downloaded.Recipe]:
    """The recipes of what is downloaded; none if all is drawn or the user's own."""
    base, _, config = name.partition("/")
    _check_config(base, config)
    return getattr(_module(base), "RECIPES", ())


def tables(name: str, data_dir: str | os.PathLike | None = None) -> dict[str, list[pathlib.Path]]:
    """The folders of a dataset's tables, by config; they need not exist.

    Args:
        name: without a config.
        data_dir: as in `load`.

    Returns:
        {config: folders}; the config is "" if the dataset has none. Empty for the user's own data.
    """
    module, folder = _module(name), data_folder(data_dir) / image_table.TABLES
    recipes = [folder / recipe.source for recipe in getattr(module, "RECIPES", ())]
    if hasattr(module, "DRAWING"):
        return {
            config: [folder / module.DRAWING.source(config), *recipes]
            for config in module.DRAWING.grids
        }
    return {"": recipes} if recipes else {}


def downloaded_names() -> list[str]:
    """The names of downloaded datasets, which must be prepared before `load` opens them.

    Drawn datasets are left out, even one that needs a downloaded picture.
    """
    names = [name for name in known_names() if hasattr(_module(name), "RECIPES")]
    return [name for name in names if not hasattr(_module(name), "DRAWING")]


def prepare(
    name: str,
    data_dir: str | os.PathLike | None = None,
    manual_dir: str | os.PathLike | None = None,
) -> GroundTruthDataset:
    """Downloads and prepares one dataset, and opens it; see `prepare_all`."""
    ((_, dataset),) = prepare_all([name], data_dir, manual_dir)
    return dataset


def prepare_all(
    names: Sequence[str],
    data_dir: str | os.PathLike | None = None,
    manual_dir: str | os.PathLike | None = None,
) -> Iterator[tuple[str, GroundTruthDataset]]:
    """Downloads, prepares and opens datasets; if one fails, the others are still prepared.

    Existing tables are compared with their checksums; a damaged one is built again.

    Args:
        names: each as in `load`.
        data_dir: as in `load`.
        manual_dir: holds the files under their original names; then nothing is downloaded.

    Yields:
        (name, dataset) of each that is ready.

    Raises:
        UserError: as in `load`, or files are missing in `manual_dir`; before anything is done.
        DlibError: the disk cannot hold all, before anything is done; or a download failed or a file
            is damaged, after the others are prepared.
    """
    folder, manual = data_folder(data_dir), pathlib.Path(manual_dir) if manual_dir else None
    local = pathlib.Path(folder)
    # Datasets are prepared locally; the user copies them into a bucket.
    recipes = {name: () if isinstance(folder, RemotePath) else _recipes(name) for name in names}
    needs = downloaded.plan([recipe for part in recipes.values() for recipe in part], local, manual)
    if len(names) > 1 and needs != downloaded.Needs():
        needs.check(f"all {len(names)} datasets", local)
    failures: dict[str, DlibError] = {}
    verified: set[pathlib.Path | None] = {None}  # folders of tables, which several names may share
    for name in names:
        try:
            for recipe in recipes[name]:
                if (
                    table := image_table.table_folder(folder, recipe.source).resolve()
                ) not in verified:
                    downloaded.prepare(recipe, local, manual)
                    verified.add(table)
            dataset = load(name, data_dir)
            if (there := table_check.folder_of(dataset.base)) not in verified:
                dataset = _verified(dataset, name, data_dir)
                verified.add(there)
        except Interrupted:
            raise
        except DlibError as error:
            if len(names) == 1:
                raise
            failures[name] = error
            print(
                f"{name} is not prepared, going on with the others: {error}",
                file=sys.stderr,
                flush=True,
            )
        else:
            yield name, dataset
    if failures:
        shown = few([f"{name}: {error}" for name, error in failures.items()])
        raise DlibError(
            f"{len(failures)} of {len(names)} datasets are not prepared; run the same command again"
            f" for them: {shown}"
        )


def _verified(
    dataset: GroundTruthDataset, name: str, data_dir: str | os.PathLike | None
) -> GroundTruthDataset:
    """Compares the table of a dataset that was not downloaded; a damaged one is made or copied
    again.
    """
    remote = isinstance(data_folder(data_dir), RemotePath)
    # a local copy stays what the bucket holds
    if table_check.renew(dataset.base, name, complete=not remote):
        return dataset
    dataset = load(name, data_dir)
    table_check.row_sums(dataset.base, name)  # what is copied from a bucket may be damaged there
    return dataset


def _module(base: str) -> ModuleType:
    check_name(base)
    # own data registers itself with gin when it is imported, possibly after gin was locked
    with gin.unlock_config():
        return importlib.import_module(f"dlib_tf2.datasets.named.{base}")


def data_folder(data_dir: str | os.PathLike | None) -> AnyPath:
    """The folder of `data_dir`, as in `load`."""
    named = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    folder = as_path(named).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, not a folder; choose another data_dir")
    return folder


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that does not exist: what is known, and the closest of it."""
    known = list(known)
    return f"unknown {what} {name!r}; known: {', '.join(known)}{suggest(name, known)}"
