"""The variants of the rendered sprites: their pixels, and the rules of the dSprites variants."""

import numpy as np
import pytest

from dlib_tf2.datasets import load, loading
from dlib_tf2.datasets.families import sprite_variants
from dlib_tf2.errors import UserError
from tests.datasets import fakes
from tests.datasets.test_rendered_sprites import use_tiny_grid

NUISANCES = ("color", "noisy", "scream")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A tiny grid in the place of config "small", and the picture, prepared from a folder."""
    manual, data = tmp_path_factory.mktemp("manual"), tmp_path_factory.mktemp("rendered")
    fakes.write_scream(manual)
    with pytest.MonkeyPatch.context() as patch:
        use_tiny_grid(patch)
        loading.prepare("scream_rendered_sprites/small", data, manual)
        yield data


@pytest.fixture(scope="module")
def dsprites_dir(tmp_path_factory):
    """dSprites and the picture, from files of their true formats."""
    manual, data = tmp_path_factory.mktemp("manual"), tmp_path_factory.mktemp("dsprites")
    fakes.prepare_all(manual, data, ["scream_dsprites"])
    return data


@pytest.mark.parametrize("kind", NUISANCES)
def test_a_variant_has_the_sprites_and_the_rule_of_its_dsprites_twin(kind, data_dir, dsprites_dir):
    variant = load(f"{kind}_rendered_sprites/small", data_dir)
    sprites = load("rendered_sprites/small", data_dir)
    assert variant.name == f"{kind}_rendered_sprites/small"
    assert (variant.space, variant.visible, variant.scale) == (sprites.space, sprites.visible, 1)
    np.testing.assert_array_equal(variant.table, sprites.table)
    assert variant.observation_shape == (64, 64, 3)
    twin = load(f"{kind}_dsprites", dsprites_dir)
    seed, position = np.array([3, 4]), np.arange(72)
    images = np.float32(sprites.table)
    mine, theirs = (data.augment(images, seed, position) for data in (variant, twin))
    np.testing.assert_array_equal(mine, theirs)


def test_colour_and_noise_leave_the_sprite_where_it_is(data_dir):
    index = np.arange(0, 72, 5)
    sprites = load("rendered_sprites/small", data_dir).images(index)[..., 0] == 1
    color = load("color_rendered_sprites/small", data_dir).images(index)
    assert (color[~sprites] == 0).all()
    assert (color[sprites] >= 0.5).all()
    noisy = load("noisy_rendered_sprites/small", data_dir).images(index)
    assert (noisy[sprites] == 1).all()
    assert 0.45 < noisy[~sprites].mean() < 0.55


def test_abstract_sprites_are_every_colour_on_every_grey(data_dir):
    dataset = load("abstract_rendered_sprites/small", data_dir)
    sprites = load("rendered_sprites/small", data_dir)
    assert dataset.name == "abstract_rendered_sprites/small"
    assert dataset.space.sizes == (5, 6, *sprites.space.sizes)
    colours = ("background_color", "object_color")
    assert dataset.visible == (*colours, "shape", "scale", "x_position", "y_position")
    assert len(dataset.table_index()) == 5 * 6 * 72 // 3  # an orientation each
    factors = dataset.space.to_factors(np.arange(dataset.space.size))
    masks = sprites.table[sprites.space.to_index(factors[:, 2:])] == 1
    greys = sprite_variants.BACKGROUNDS[factors[:, 0]]
    colours = sprite_variants.OBJECTS[factors[:, 1]]
    expected = np.where(masks, colours[:, None, None], greys[:, None, None])
    np.testing.assert_array_equal(dataset.images(np.arange(dataset.space.size)), expected)


def test_the_scream_needs_its_picture_before_anything_is_drawn(tmp_path):
    name = "scream_rendered_sprites/small"
    with pytest.raises(UserError) as caught:
        load(name, tmp_path)
    command = f"dlib_prepare_data --dataset={name} --data_dir={tmp_path}"
    assert str(caught.value) == f"{name} is not prepared in {tmp_path}; run: {command}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("base", ["color_rendered_sprites", "scream_rendered_sprites"])
@pytest.mark.parametrize("opening", [load, loading.prepare])
def test_an_unknown_config_is_refused_by_its_own_name(base, opening, tmp_path):
    text = rf"unknown config of {base} 'smal'; known: full, small; did you mean small\?"
    with pytest.raises(UserError, match=text):
        opening(f"{base}/smal", tmp_path)
    assert not list(tmp_path.iterdir())


def test_all_downloads_no_drawn_dataset():
    names = loading.downloaded_names()
    assert {"scream_dsprites", "color_dsprites"} <= set(names)
    assert not [name for name in names if "rendered" in name]
