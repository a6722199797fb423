"""The radiograph and the heatmap over it."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from osteolite.demo.page.overlay import figure, heat_uri, radiograph_uri
from osteolite.edge import Prediction, PreprocessingSpec
from osteolite.edge.inference.delegation import Delegation
from osteolite.edge.prediction.heatmap import content_map, overlay

PREDICTION = Prediction("normal", 0.1, 0.4, "m", {}, Delegation(None, "none", 0, 9))
SPEC = PreprocessingSpec(64, 64)
RADIOGRAPH = Image.fromarray(np.linspace(40, 200, 200 * 100).reshape(200, 100).astype(np.uint8))


def with_map(*rows: list[float]) -> Prediction:
    return replace(PREDICTION, activation_map=np.array(rows, np.float32))


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2])))


def test_the_layer_over_the_radiograph_is_what_the_command_line_draws() -> None:
    prediction = with_map([0.0, 1.0], [-1.0, 0.2])
    heat = opened(heat_uri(prediction, SPEC, RADIOGRAPH.size)).resize(RADIOGRAPH.size, Image.Resampling.BILINEAR)
    assert prediction.activation_map is not None
    drawn = overlay(RADIOGRAPH, content_map(prediction.activation_map, SPEC, *RADIOGRAPH.size))
    shown = Image.alpha_composite(RADIOGRAPH.convert("RGBA"), heat).convert("RGB")
    assert np.abs(np.asarray(shown, int) - np.asarray(drawn, int)).mean() < 2
    assert np.ptp(np.asarray(drawn, int), axis=2).max() > 40  # so that the comparison says something


def test_the_layer_is_no_larger_than_asked_for_and_keeps_its_proportions() -> None:
    spec = PreprocessingSpec(2048, 2048)
    assert opened(heat_uri(with_map([0.0, 1.0]), spec, RADIOGRAPH.size)).size == (192, 384)
    assert opened(heat_uri(with_map([0.0, 1.0]), spec, RADIOGRAPH.size, 64)).size == (32, 64)


def test_the_figure_has_a_slider_and_a_legend_where_there_is_something_to_see() -> None:
    html = figure(with_map([0.0, 1.0]), SPEC, RADIOGRAPH)
    assert 'type="range"' in html
    assert "linear-gradient" in html
    assert 'class="osteo-heat"' in html
    assert "with the heatmap over it" in html


@pytest.mark.parametrize(
    ("prediction", "line"),
    [(PREDICTION, "This model gives no heatmap"), (with_map([-1.0, 0.0]), "its heatmap is empty")],
)
def test_without_a_heatmap_there_is_a_line_and_no_slider(prediction: Prediction, line: str) -> None:
    html = figure(prediction, SPEC, RADIOGRAPH)
    assert line in html
    assert "range" not in html
    assert len(re.findall("<img", html)) == 1


def test_the_radiograph_is_shown_in_grey() -> None:
    shown = opened(radiograph_uri(RADIOGRAPH))
    assert (shown.format, shown.mode, shown.size) == ("JPEG", "L", RADIOGRAPH.size)
