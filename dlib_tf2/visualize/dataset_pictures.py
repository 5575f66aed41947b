"""Pictures of a dataset: what each factor does, a sheet of random samples, and an animation."""

import dataclasses
import math
import os
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dlib_tf2 import datasets
from dlib_tf2.datasets import FactorSpace, GroundTruthDataset
from dlib_tf2.errors import UserError
from dlib_tf2.seeds import generator
from dlib_tf2.system.files import atomic_write
from dlib_tf2.system.folders import Written, exactly, hold_folder, refuse_foreign
from dlib_tf2.system.paths import AnyPath

PICTURES = ("factors.png", "samples.png", "factors.gif")
MAX_VALUES = 10  # images in a factor's row; a larger factor shows evenly spaced values
MAX_FRAMES = 20  # frames of a factor in the animation
SAMPLES = (8, 12)  # rows and columns of the contact sheet
_TILE, _LARGE_TILE = 96, 256  # height of an image in pixels, about: it grows by whole numbers only
_GAP, _TITLE, _CAPTION = 4, 40, 14  # pixels between images, for the title, for a row's captions
_DPI, _FONT = 100, 10  # pixels per inch; points of title and labels
_GREY = 176  # marks a point of an incomplete grid that has no image
_FRAME_MS, _CAPTION_LINE = 250, 20  # the animation's milliseconds per frame, pixels per caption


def draw(
    name: str, output_dir: str | os.PathLike, data_dir: str | os.PathLike | None = None
) -> list[AnyPath]:
    """Draws factors.png, samples.png and factors.gif into `output_dir`, and prints their paths.

    Args:
        name: the dataset's name, see `datasets.load`.
        output_dir: a folder that is new, empty or of an earlier run.
        data_dir: folder of prepared datasets.

    Returns:
        The paths.

    Raises:
        UserError: the dataset is unknown, its images are neither grey nor RGB, or the folder is
            not ours or another process works in it.
    """
    refuse_foreign(output_dir, "dataset pictures")  # before a preparation that may take minutes
    dataset = datasets.load(name, data_dir)
    if (channels := dataset.observation_shape[2]) not in (1, 3):
        raise UserError(
            f"images of {name} have {channels} channels; only 1 (grey) or 3 (RGB) can be drawn"
        )
    with hold_folder(output_dir, "dataset pictures", Written(exactly(*PICTURES))) as folder:
        paths = [folder / picture for picture in PICTURES]
        _draw_all(dataset, paths)
    for path in paths:
        print(path)
    return paths


def _draw_all(dataset: GroundTruthDataset, paths: Sequence[AnyPath]) -> None:
    for path, make in zip(paths, (_factors_figure, _samples_figure), strict=False):
        with atomic_write(path) as file:
            FigureCanvasAgg(make(dataset)).print_png(file)
    frames = [Image.fromarray(frame) for frame in animation(dataset)]
    with atomic_write(paths[-1]) as file:
        frames[0].save(
            file, "GIF", save_all=True, append_images=frames[1:], duration=_FRAME_MS, loop=0
        )


def base_factors(space: FactorSpace) -> NDArray[np.int64]:
    """The grid point at which one factor at a time varies: int64 [num_factors].

    In turn, its values are at a half, three quarters and a quarter of their range, so that
    neighbouring factors that share a palette differ.
    """
    fractions = np.resize([0.5, 0.75, 0.25], len(space.sizes))
    return (np.asarray(space.sizes) * fractions).astype(np.int64)


def base_point(dataset: GroundTruthDataset) -> NDArray[np.int64]:
    """`base_factors`, or in an incomplete grid a point near it with many images: [num_factors].

    It has the most images in its rows; among several, the nearest to `base_factors` counts.
    """
    space, wanted = dataset.space, base_factors(dataset.space)
    if dataset.cells is None:
        return wanted
    factors = space.to_factors(dataset.cells)  # [rows, num_factors]
    neighbours = np.zeros(len(factors))
    for factor, (size, base) in enumerate(zip(space.sizes, space.bases, strict=True)):
        _, row, count = np.unique(
            dataset.cells - factors[:, factor] * base, return_inverse=True, return_counts=True
        )
        neighbours += count[row] / size  # the share of this factor's row that has images
    distance = (np.abs(factors - wanted) / space.sizes).sum(axis=1)
    return factors[np.lexsort((distance, -neighbours))[0]]


def vary(
    dataset: GroundTruthDataset, factor: int, max_values: int = MAX_VALUES
) -> NDArray[np.int64]:
    """Grid points that differ from `base_point` in one factor, at evenly spaced values.

    Args:
        dataset: with its grid.
        factor: which factor varies.
        max_values: how many values at most; if the factor has more and the grid is incomplete, they
            are chosen among those that have an image.

    Returns:
        int64 [values, num_factors], values ascending; in an incomplete grid some may have no image.
    """
    size = dataset.space.sizes[factor]
    points = np.tile(base_point(dataset), (size, 1))  # [size, num_factors]
    points[:, factor] = np.arange(size)
    if size > max_values:
        points = points[has_image(dataset, points)]
    shown = np.linspace(0, len(points) - 1, min(len(points), max_values))
    return points[np.round(shown).astype(np.int64)]


def has_image(dataset: GroundTruthDataset, points: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the grid points [n, num_factors] have an image: bool [n]."""
    if dataset.cells is None:
        return np.ones(len(points), bool)
    return np.isin(dataset.space.to_index(points), dataset.cells)


def animation(dataset: GroundTruthDataset) -> list[NDArray[np.uint8]]:
    """The frames of the animation, in which each factor in turn runs once through its values.

    It starts at the base point or next to it. Grid points without an image are left out.

    Returns:
        uint8 [height, width, 3] each, with a caption that names factor and value.
    """
    space, base = dataset.space, base_point(dataset)
    frames: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    for factor, name in enumerate(space.names):
        points = vary(dataset, factor, MAX_FRAMES)
        points = points[has_image(dataset, points)]
        first = int(np.searchsorted(points[:, factor], base[factor]))
        points = np.roll(points, -first, axis=0)
        frames.extend(_images(dataset, points, _LARGE_TILE, base))
        captions.extend(
            f"{name} {point[factor]} of 0..{space.sizes[factor] - 1}" for point in points
        )
    draft = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    width = max(frames[0].shape[1], *(int(draft.textlength(caption)) + 8 for caption in captions))
    captioned = zip(frames, captions, strict=True)
    return [_with_caption(frame, caption, width) for frame, caption in captioned]


def _factors_figure(dataset: GroundTruthDataset) -> Figure:
    space, point = dataset.space, base_point(dataset)
    rows = [vary(dataset, factor) for factor in range(len(space.names))]
    labels = [name if name in dataset.visible else f"{name}\n(hidden)" for name in space.names]
    captions = [[str(value) for value in points[:, factor]] for factor, points in enumerate(rows)]
    base = ", ".join(f"{name} {value}" for name, value in zip(space.names, point, strict=True))
    title = f"{dataset.name}: one factor varies in each row; the others stay at {base}"
    if dataset.nuisance is not None:
        title += "; so does the nuisance, drawn once"
    if not all(has_image(dataset, points).all() for points in rows):
        title += "; grey: no image"
    return _figure([_with_gaps(dataset, points, point) for points in rows], title, labels, captions)


def _with_gaps(
    dataset: GroundTruthDataset, points: NDArray[np.int64], base: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """The images of a row, grey for grid points without one; at least one must have one."""
    there = has_image(dataset, points)
    images = _images(dataset, points[there], _TILE, base)
    row = np.full((len(points), *images.shape[1:]), _GREY, np.uint8)
    row[there] = images
    return row


def _samples_figure(dataset: GroundTruthDataset) -> Figure:
    rows, columns = SAMPLES
    rng = generator(0, "dataset_pictures")
    size = dataset.space.size if dataset.cells is None else len(dataset.cells)
    index = rng.choice(size, min(rows * columns, size), replace=False)
    index = index if dataset.cells is None else dataset.cells[index]
    images = _images(dataset, dataset.space.to_factors(index), _TILE)
    sheet = [images[first : first + columns] for first in range(0, len(images), columns)]
    return _figure(sheet, f"{dataset.name}: {len(index)} of {size:,} images, drawn at random")


def _images(
    dataset: GroundTruthDataset,
    factors: NDArray[np.int64],
    pixels: int,
    nuisance_of: NDArray[np.int64] | None = None,
) -> NDArray[np.uint8]:
    """Images of grid points as uint8 RGB [n, h * zoom, w * zoom, 3], about `pixels` high.

    Each has the nuisance of its own grid point, or all have that of the point `nuisance_of`.
    """
    index, nuisance = dataset.space.to_index(factors), dataset.nuisance
    if nuisance is None or nuisance_of is None:
        images = np.asarray(dataset.images(index), np.float32) / dataset.scale
    else:
        clean = dataclasses.replace(dataset, nuisance=None).images(index)
        rows = np.repeat(dataset.space.to_index(nuisance_of[None]), len(index))
        images = nuisance.of_rows(np.asarray(clean, np.float32) / dataset.scale, rows)
        images = np.asarray(images)
    images = np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)
    zoom = max(1, round(pixels / images.shape[1]))
    images = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    return np.broadcast_to(images, (*images.shape[:3], 3))  # grey becomes RGB


def _figure(
    rows: Sequence[NDArray[np.uint8]],
    title: str,
    labels: Sequence[str] | None = None,
    captions: Sequence[Sequence[str]] | None = None,
) -> Figure:
    """Lays out rows of images [n, h, w, 3] pixel by pixel, because axes would resample them."""
    _, height, width, _ = rows[0].shape
    left, step_x = (_text_width(labels) + 16 if labels else _GAP), width + _GAP
    step_y = height + _GAP + (_CAPTION if captions else 0)
    page_width = left + max(max(map(len, rows)) * step_x, _text_width([title]) + _GAP)
    page = np.full((_TITLE + len(rows) * step_y, page_width, 3), 255, np.uint8)
    figure = Figure(figsize=(page.shape[1] / _DPI, page.shape[0] / _DPI), dpi=_DPI)

    def write(x: float, y: float, text: str, **style) -> None:
        figure.text(x / page.shape[1], 1 - y / page.shape[0], text, va="center", **style)

    write(left, _TITLE / 2, title, fontsize=_FONT)
    for row, images in enumerate(rows):
        y = _TITLE + row * step_y
        if labels:
            write(left - 8, y + height / 2, labels[row], fontsize=_FONT, ha="right")
        for column, image in enumerate(images):
            x = left + column * step_x
            page[y : y + height, x : x + width] = image
            if captions:
                middle, below = x + width / 2, y + height + _CAPTION / 2
                write(middle, below, captions[row][column], fontsize=7, ha="center")
    figure.figimage(page, origin="upper", zorder=-1)
    return figure


def _text_width(texts: Sequence[str]) -> int:
    """Width in pixels of the widest text; it depends on the font that matplotlib finds."""
    figure = Figure(dpi=_DPI)
    renderer = FigureCanvasAgg(figure).get_renderer()
    drawn = [figure.text(0, 0, text, fontsize=_FONT) for text in texts]
    return math.ceil(max(text.get_window_extent(renderer).width for text in drawn))


def _with_caption(image: NDArray[np.uint8], text: str, width: int) -> NDArray[np.uint8]:
    """The image below a line of black text on white, in a frame `width` pixels wide."""
    frame = Image.new("RGB", (width, image.shape[0] + _CAPTION_LINE), "white")
    frame.paste(Image.fromarray(np.ascontiguousarray(image)), (0, _CAPTION_LINE))
    ImageDraw.Draw(frame).text((4, 4), text, fill="black")
    return np.asarray(frame)
