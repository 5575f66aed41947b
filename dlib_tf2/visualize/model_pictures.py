"""Pictures of a trained model: originals with reconstructions, and a grid of traversals."""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dlib_tf2 import datasets
from dlib_tf2.records import results
from dlib_tf2.seeds import derive_seed
from dlib_tf2.system.files import atomic_write
from dlib_tf2.system.folders import Written, exactly, hold_folder
from dlib_tf2.system.paths import AnyPath, as_path
from dlib_tf2.training.saved_model import PICTURES, SavedModel, load

PAIRS = (4, 8)  # rows and columns of originals with their reconstructions
TRAVERSAL = np.linspace(-2.5, 2.5, 11)  # in standard deviations of the prior
_KL_IMAGES = 1024


def draw(model_dir: str | os.PathLike, data_dir: str | os.PathLike | None = None) -> list[AnyPath]:
    """Draws `<model_dir>/pictures/*.png`, unless newer than the model, and prints their paths.

    Args:
        model_dir: folder of a finished run.
        data_dir: folder of prepared datasets.

    Returns:
        The paths.

    Raises:
        UserError: another process is at work in the folder.
        DlibError: a network is damaged or was changed, or a picture cannot be written.
    """
    folder = as_path(model_dir)
    paths = [folder / "pictures" / name for name in PICTURES]
    trained = (folder / "results.json").stat().st_mtime
    if not all(path.is_file() and path.stat().st_mtime >= trained for path in paths):
        with hold_folder(folder, "train", Written({"pictures": Written(exactly(*PICTURES))})):
            _draw_all(folder, data_dir, paths)
    for path in paths:
        print(path)
    return paths


def _draw_all(folder: AnyPath, data_dir, paths: Sequence[AnyPath]) -> None:
    model = load(folder)
    data = datasets.load(results.label(model.record, "dataset"), data_dir)
    rng = np.random.default_rng(derive_seed(0, "pictures"))
    images = np.asarray(data.images(data.sample_index(rng, _KL_IMAGES)), np.float32)
    images /= np.float32(data.scale)
    _save(_draw_reconstructions(model, images[: PAIRS[0] * PAIRS[1]]), paths[0])
    _save(_draw_traversals(model, images), paths[1])


def reconstruct(model: SavedModel, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Decodes the posterior mean of images [n, h, w, c]: pixel means in 0..1, same shape."""
    return model.decode(model.encode(images)[0])


def traverse(model: SavedModel, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Decodes the code of one image [h, w, c] with one latent at a time moved over `TRAVERSAL`.

    Returns:
        [d, len(TRAVERSAL), h, w, c] in 0..1.
    """
    mean, _ = model.encode(image[None])
    num_latent = mean.shape[1]
    codes = np.tile(mean[0], (num_latent, len(TRAVERSAL), 1))  # [d, values, d]
    codes[np.arange(num_latent), :, np.arange(num_latent)] = TRAVERSAL
    decoded = model.decode(codes.reshape(-1, num_latent))  # [d, values, d] -> [d * values, d]
    return decoded.reshape(num_latent, len(TRAVERSAL), *decoded.shape[1:])


def latent_kl(model: SavedModel, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean KL divergence of each latent from its prior, in nats: [d]; a dead latent is near 0."""
    mean, log_variance = model.encode(images)
    return 0.5 * np.mean(mean**2 + np.exp(log_variance) - log_variance - 1, axis=0)


def _draw_reconstructions(model: SavedModel, images: NDArray[np.float32]) -> Figure:
    decoded = reconstruct(model, images)
    rows, columns = PAIRS
    figure = Figure(figsize=(columns * 1.1, rows * 2 * 1.1 + 0.6), layout="constrained")
    axes = figure.subplots(rows * 2, columns, squeeze=False)
    for row in range(rows):
        for column in range(columns):
            number = row * columns + column
            _show(axes[2 * row, column], images[number])
            _show(axes[2 * row + 1, column], decoded[number])
        axes[2 * row, 0].set_ylabel("original", fontsize=8)
        axes[2 * row + 1, 0].set_ylabel("decoded", fontsize=8)
    title = f"{_title(model)}: originals and reconstructions from the posterior mean"
    figure.suptitle(title, fontsize=10)
    return figure


def _draw_traversals(model: SavedModel, images: NDArray[np.float32]) -> Figure:
    grid, kl = traverse(model, images[0]), latent_kl(model, images)
    order = np.argsort(-kl)
    size = (len(TRAVERSAL) + 1) * 0.9 + 1, len(grid) * 0.9 + 0.9
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(grid), len(TRAVERSAL) + 1, squeeze=False)
    for row, latent in enumerate(order):
        _show(axes[row, 0], images[0])
        label = f"z{latent}\nKL {kl[latent]:.2f}"
        axes[row, 0].set_ylabel(label, fontsize=8, rotation=0, ha="right", va="center")
        for column, decoded in enumerate(grid[latent], start=1):
            _show(axes[row, column], decoded)
    axes[0, 0].set_title("original", fontsize=8)
    for column, value in enumerate(TRAVERSAL, start=1):
        axes[0, column].set_title(f"{value:+.1f}", fontsize=8)
    title = f"{_title(model)}: one latent moved at a time, most used first (KL in nats)"
    figure.suptitle(title, fontsize=10)
    return figure


def _title(model: SavedModel) -> str:
    parameters = results.label(model.record, "hyperparameters", {}).items()
    strengths = ", ".join(
        f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"
        for name, value in parameters
    )
    name = results.label(model.record, "method") or "model"
    steps, dataset = model.record["values"]["steps"], results.label(model.record, "dataset")
    return f"{name}{f' ({strengths})' if strengths else ''}, {steps:,} steps, {dataset}"


def _show(axes, image: NDArray[np.float32]) -> None:
    if image.shape[-1] == 1:
        axes.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
    else:
        axes.imshow(np.clip(image, 0, 1))
    axes.set_xticks([])
    axes.set_yticks([])


def _save(figure: Figure, path: AnyPath) -> None:
    with atomic_write(path) as file:
        FigureCanvasAgg(figure).print_png(file)
