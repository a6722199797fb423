"""The radiograph and its heatmap as HTML."""

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


def test_layer_matches_the_overlay_of_the_command_line() -> None:
    prediction = with_map([0.0, 1.0], [-1.0, 0.2])
    heat = opened(heat_uri(prediction, SPEC, RADIOGRAPH.size)).resize(RADIOGRAPH.size, Image.Resampling.BILINEAR)
    assert prediction.activation_map is not None
    drawn = overlay(RADIOGRAPH, content_map(prediction.activation_map, SPEC, *RADIOGRAPH.size))
    shown = Image.alpha_composite(RADIOGRAPH.convert("RGBA"), heat).convert("RGB")
    assert np.abs(np.asarray(shown, int) - np.asarray(drawn, int)).mean() < 2
    assert np.ptp(np.asarray(drawn, int), axis=2).max() > 40  # the heatmap is visible, so the comparison is meaningful


def test_layer_keeps_its_maximum_side_and_aspect_ratio() -> None:
    spec = PreprocessingSpec(2048, 2048)
    assert opened(heat_uri(with_map([0.0, 1.0]), spec, RADIOGRAPH.size)).size == (192, 384)
    assert opened(heat_uri(with_map([0.0, 1.0]), spec, RADIOGRAPH.size, 64)).size == (32, 64)


def test_figure_with_heatmap_has_slider_and_legend() -> None:
    html = figure(with_map([0.0, 1.0]), SPEC, RADIOGRAPH)
    assert 'type="range"' in html
    assert "linear-gradient" in html
    assert 'class="osteo-heat"' in html
    assert "with the heatmap over it" in html


@pytest.mark.parametrize(
    ("prediction", "line"),
    [(PREDICTION, "This model gives no heatmap"), (with_map([-1.0, 0.0]), "The heatmap is empty")],
)
def test_figure_without_heatmap_has_a_message_and_no_slider(prediction: Prediction, line: str) -> None:
    html = figure(prediction, SPEC, RADIOGRAPH)
    assert line in html
    assert "range" not in html
    assert len(re.findall("<img", html)) == 1


def test_radiograph_is_a_grey_jpeg() -> None:
    shown = opened(radiograph_uri(RADIOGRAPH))
    assert (shown.format, shown.mode, shown.size) == ("JPEG", "L", RADIOGRAPH.size)
