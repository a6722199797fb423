"""Names in plots: short, with characters of the font, and without overlaps."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from osteolite.benchmarks.page import labelling
from osteolite.benchmarks.page.drawing import plain, spread_out

from ..results_made import VARIANTS


@pytest.mark.parametrize("crowd", ["desktop", "one spot"])
def test_labels_do_not_overlap(crowd: str) -> None:
    figure = Figure((5.4, 4.6), dpi=72, layout="constrained")
    axes = figure.subplots()
    spots = {
        name: [(spent, auroc), (spent / 2, auroc)] if crowd == "desktop" else [(5.0, 0.9)]
        for name, (spent, _, auroc) in VARIANTS.items()
    }
    axes.set(xscale="log", xlim=(2, 600), ylim=(0.84, 0.93))
    labelling.label_points(axes, [(points, name) for name, points in spots.items()], list(spots.values()))
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == len(VARIANTS)
    for index, box in enumerate(boxes):
        assert box.count_overlaps(boxes[:index]) == 0
        assert axes.get_window_extent().padded(2).contains(box.x0, box.y0)
        assert axes.get_window_extent().padded(2).contains(box.x1, box.y1)


@given(st.lists(st.floats(-10, 10), max_size=12), st.floats(0.01, 2))
def test_spread_out_keeps_distance_and_order(positions: Sequence[float], gap: float) -> None:
    found = spread_out(positions, gap)
    ordered = sorted(found)
    assert all(above - below >= gap * 0.999 for below, above in pairwise(ordered))
    for i, first in enumerate(positions):
        assert all(found[i] < found[j] for j, second in enumerate(positions) if first < second)
    if positions:
        assert sum(found) == pytest.approx(sum(positions), abs=1e-6)


def test_a_long_name_is_cut_in_the_middle() -> None:
    assert plain("wrist_mobilenetv2_a_very_long_name_int8.tflite") == "wrist_mobilenet…me_int8.tflite"
    assert plain("a\u8108b\x1bc") == "a?b?c"
