"""Heatmaps: the area of the image, colours and opacity."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from osteolite.edge.prediction.heatmap import content_map, layer, overlay
from osteolite.edge.preprocess import PreprocessingSpec, fit


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from(["pad", "squeeze"]),
)
def test_content_map_is_cut_to_the_area_of_the_image(width: int, height: int, aspect: str) -> None:
    """A map that is 1 where `fit` puts a white image, and 0 in the bars, must become 1 everywhere."""
    spec = PreprocessingSpec(64, 96, aspect=aspect)
    covered = (fit(Image.new("L", (width, height), 255), spec) > 0).astype(np.float32)
    found = content_map(covered, spec, width, height)
    assert found.shape == spec.fitted_size(width, height)[::-1]
    assert found.size == covered.sum()
    assert (found == 1).all()


def test_evidence_against_a_fracture_is_not_drawn() -> None:
    radiograph = Image.effect_noise((30, 40), 80)
    plain = np.asarray(radiograph.convert("RGB"))
    assert (np.asarray(overlay(radiograph, np.full((4, 3), -2.0))) == plain).all()
    half = np.full((40, 30), -2.0)
    half[:, :15] = 3
    drawn = np.asarray(overlay(radiograph, half))
    assert (drawn[:, 15:] == plain[:, 15:]).all()
    assert (drawn[:, :15] != plain[:, :15]).any(axis=-1).all()


def test_higher_values_are_brighter_and_more_opaque() -> None:
    black = Image.new("L", (256, 8))
    drawn = np.asarray(overlay(black, np.linspace(0, 1, 256)[None].repeat(8, axis=0))).astype(int)
    assert (drawn[0, 0] == 0).all()
    assert (np.diff(drawn.sum(axis=2)[0, ::16]) > 0).all()


def test_the_colours_are_matplotlibs_inferno() -> None:
    from matplotlib import colormaps

    white = Image.new("L", (256, 1), 0)
    drawn = np.asarray(overlay(white, np.linspace(0, 1, 256)[None])).astype(float)
    hottest = 255 * np.array(colormaps["inferno"](1.0)[:3])
    assert np.abs(drawn[0, -1] - 0.6 * hottest).max() < 3


def test_the_layer_composited_on_the_radiograph_is_the_overlay() -> None:
    radiograph = Image.effect_noise((30, 40), 80)
    heat = np.random.default_rng(7).normal(size=(40, 30))
    alone = layer(heat)
    assert (alone.mode, alone.size) == ("RGBA", (30, 40))
    assert (np.asarray(alone)[heat <= 0, 3] == 0).all() and (np.asarray(alone)[heat > 0.5, 3] > 0).all()
    shown = radiograph.convert("RGB")
    shown.paste(alone, mask=alone.getchannel("A"))
    assert (np.asarray(shown) == np.asarray(overlay(radiograph, heat))).all()
