"""The search within limits: its arithmetic on made-up points, and the whole of it on phantoms."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from osteolite.convert.tuning import search as module
from osteolite.convert.tuning.pareto import Point, TuningLimits, choose, draw, front
from osteolite.convert.tuning.search import _candidates, _largest
from osteolite.edge.errors import GateRefusal, UsageError
from osteolite.train.recipe import Recipe, load_recipe, to_toml
from osteolite.train.runs.run_folder import Run

OSTEOLITE = str(Path(sys.executable).with_name("osteolite"))

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
def test_the_front_holds_whatever_nothing_beats(found: list[Point]) -> None:
    best = front(found)
    assert best
    for point in found:
        better = [other for other in best if other.beats(point)]
        assert (point in best) == (not better)
    assert [p.milliseconds for p in best] == sorted(p.milliseconds for p in best)


@given(points, steps, steps, steps)
def test_the_choice_keeps_the_limits_and_none_that_does_is_better(
    found: list[Point], auroc: int, milliseconds: int, megabytes: int
) -> None:
    for least in (None, 0.5 + auroc / 20):
        limits = TuningLimits(milliseconds, megabytes, least)
        kept = [p for p in found if limits.keeps(p.milliseconds, p.megabytes, p.auroc)]
        if not kept:
            with pytest.raises(GateRefusal, match=r"nothing keeps all limits; the best there is: \d+\.tflite: AUROC"):
                choose(found, limits)
            continue
        choice = choose(found, limits)
        assert choice in kept
        if least is None:
            assert choice.auroc == max(p.auroc for p in kept)
        else:
            assert choice.milliseconds == min(p.milliseconds for p in kept)


def unstarted_run(folder: Path, start: str = "none (random)") -> Run:
    """As much of a run as the list of candidates needs."""
    (folder / "recipe.toml").write_text(to_toml(load_recipe("fracatlas_mobilenetv2")))
    (folder / "run.json").write_text(json.dumps({"weights": {"start": start}, "data": str(folder)}))
    return Run(folder)


def test_widths_without_starting_weights_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offline(recipe: Recipe, weights: str | None) -> None:
        if recipe.model.alpha != 0.5:
            raise UsageError("no network")

    monkeypatch.setattr(module, "build_backbone", offline)
    found = _candidates(unstarted_run(tmp_path, "imagenet"))
    assert {one.model.alpha for one in found} == {0.5, 1.0}
    assert "width 0.35 is left out: its imagenet weights cannot be had" in capsys.readouterr().err


def test_candidates_have_less_width_or_a_smaller_input_and_the_run_is_one(tmp_path: Path) -> None:
    recipe = load_recipe("fracatlas_mobilenetv2")
    found = _candidates(unstarted_run(tmp_path))
    assert recipe in found
    assert len({one.name for one in found}) == len(found) == 12
    sizes = {(one.preprocessing.width, one.preprocessing.height) for one in found}
    assert sizes == {(160, 192), (256, 288), (320, 384)}
    for one in found:
        same = replace(one, name=recipe.name, model=recipe.model, preprocessing=recipe.preprocessing)
        assert same == recipe


def test_of_those_that_fit_only_the_largest_are_trained(tmp_path: Path) -> None:
    found = _candidates(unstarted_run(tmp_path))
    assert [one.name for one in _largest(found)] == ["fracatlas_mobilenetv2"]
    narrow = [one for one in found if one.model.alpha < 1 or one.preprocessing.width == 160]
    extents = {(one.model.alpha, one.preprocessing.width) for one in _largest(narrow)}
    assert extents == {(1.0, 160), (0.75, 320)}


def test_the_figure_is_a_picture(tmp_path: Path) -> None:
    found = [
        Point(f"{w}{v}", w, (224, 224), v, ms * w, mb * w, 0.8 + w / 10, 0.75, 0.95)
        for w in (0.35, 1.0)
        for v, ms, mb in (("float32", 20.0, 9.0), ("int8", 9.0, 3.0))
    ]
    draw(found, TuningLimits(10.0, None, 0.85), found[-1], tmp_path / "tune.png")
    with Image.open(tmp_path / "tune.png") as picture:
        assert picture.size[0] > 1000
        assert len(picture.convert("RGB").getcolors(10**6)) > 50


def search(run: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [OSTEOLITE, "tune", str(run), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory, phantom_run: Path) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    (folder / "small.toml").write_text("""
extends = "phantoms"
name = "small"
[preprocessing]
width = 64
height = 64
[conversion]
variants = ["float32", "int8"]
calibration_images = 40
[gate]
agreement = 0.9
sensitivity_loss = 0.1
[[training.phases]]
name = "all"
epochs = 2
learning_rate = 2e-3
unfrozen = 1.0
""")
    data = phantom_run.parent / "phantoms-data"
    command = [OSTEOLITE, "train", str(data), "--recipe", str(folder / "small.toml"), "--out", str(folder / "run")]
    subprocess.run(command, capture_output=True, text=True, timeout=500, check=True)
    return folder / "run"


@pytest.mark.slow
def test_a_search_trains_what_may_win_and_chooses(small_run: Path) -> None:
    done = search(small_run, "--max-ms", "1000", "--max-mb", "50", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert [one["name"] for one in found["candidates"]].count("small") == 1
    assert len(found["candidates"]) == 2  # the run's width is the least there is; half and three quarters are 32 and 64
    assert {Path(one["file"]).parent.parent.name for one in found["points"]} == {"run"}  # it exceeds the other one
    assert found["choice"]["file"] in found["front"]
    assert (small_run / "tuning" / "tune.png").is_file()
    assert json.loads((small_run / "tuning" / "tune.json").read_text()) == found


@pytest.mark.slow
def test_with_an_auroc_asked_for_the_fastest_that_reaches_it_is_taken(small_run: Path) -> None:
    done = search(small_run, "--min-auroc", "0.501", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert "small_0.35_32x32" in found["choice"]["file"]
    run = Run.open(small_run / "tuning" / "small_0.35_32x32")
    assert run.recipe.preprocessing.width == 32
    parts = {row.file: row.split for row in Run.open(small_run).catalogue.rows}
    assert {row.file: row.split for row in run.catalogue.rows} == parts  # the same split


@pytest.mark.slow
def test_what_nothing_keeps_is_refused_with_the_best_there_is(small_run: Path) -> None:
    done = search(small_run, "--max-mb", "0.001")
    assert done.returncode == 3
    assert "nothing keeps all limits; the best there is: " in done.stderr
    assert json.loads((small_run / "tuning" / "tune.json").read_text())["choice"] is None


@pytest.mark.slow
def test_a_search_without_limits_is_a_wrong_call(small_run: Path) -> None:
    done = search(small_run)
    assert done.returncode == 2
    assert "name at least one limit: --max-ms, --max-mb or --min-auroc" in done.stderr
