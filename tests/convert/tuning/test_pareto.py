"""The Pareto front, the choice within limits and the plot, on made-up points."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from osteolite.convert.tuning.pareto import Point, TuningLimits, choose, pareto_front, plot
from osteolite.edge.errors import GateRefusal

steps = st.integers(1, 6)
points = st.lists(
    st.builds(
        lambda name, auroc, ms, mb: Point(
            f"{name}.tflite", 0.35, (224, 224), "int8", float(ms), float(mb), 0.5 + auroc / 20, 0.4, 0.9
        ),
        st.integers(0, 10**6),
        steps,
        steps,
        steps,
    ),
    min_size=1,
    max_size=12,
)


@given(points)
def test_the_front_holds_exactly_the_points_that_no_other_beats(found: list[Point]) -> None:
    front = pareto_front(found)
    assert front
    for point in found:
        better = [other for other in front if other.beats(point)]
        assert (point in front) == (not better)
    assert [p.milliseconds for p in front] == sorted(p.milliseconds for p in front)


@given(points, steps, steps, steps)
def test_the_choice_is_the_best_point_within_the_limits(
    found: list[Point], auroc: int, milliseconds: int, megabytes: int
) -> None:
    for least in (None, 0.5 + auroc / 20):
        limits = TuningLimits(milliseconds, megabytes, least)
        allowed = [p for p in found if limits.met_by(p.milliseconds, p.megabytes, p.auroc)]
        if not allowed:
            with pytest.raises(GateRefusal, match=r"no variant meets all limits; the best are: \d+\.tflite: AUROC"):
                choose(found, limits)
            continue
        choice = choose(found, limits)
        assert choice in allowed
        if least is None:
            assert choice.auroc == max(p.auroc for p in allowed)
        else:
            assert choice.milliseconds == min(p.milliseconds for p in allowed)


def test_the_plot_is_a_coloured_png(tmp_path: Path) -> None:
    found = [
        Point(f"{w}{v}", w, (224, 224), v, ms * w, mb * w, 0.8 + w / 10, 0.75, 0.95)
        for w in (0.35, 1.0)
        for v, ms, mb in (("float32", 20.0, 9.0), ("int8", 9.0, 3.0))
    ]
    plot(found, TuningLimits(10.0, None, 0.85), found[-1], tmp_path / "tune.png")
    with Image.open(tmp_path / "tune.png") as picture:
        assert picture.size[0] > 1000
        colours = picture.convert("RGB").getcolors(10**6)
    assert colours is not None
    assert len(colours) > 50
