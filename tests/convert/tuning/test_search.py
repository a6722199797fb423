"""The search for candidates, and the whole search on phantoms."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from osteolite.convert.tuning.search import candidates, largest
from osteolite.train.data.phantoms import write_phantoms
from osteolite.train.recipe import Recipe, load_recipe, to_toml
from osteolite.train.runs.run_folder import Run

OSTEOLITE = str(Path(sys.executable).with_name("osteolite"))


def untrained_run(folder: Path, start: str = "none (random)") -> Run:
    """A run folder with the files that the list of candidates needs."""
    (folder / "recipe.toml").write_text(to_toml(load_recipe("fracatlas_mobilenetv2")))
    (folder / "run.json").write_text(json.dumps({"weights": {"start": start}, "data": str(folder)}))
    return Run(folder)


def test_widths_without_starting_weights_are_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def only_half(recipe: Recipe, run: Run) -> bool:
        return recipe.model.alpha == 0.5

    found = candidates(untrained_run(tmp_path, "imagenet"), only_half)
    assert {one.model.alpha for one in found} == {0.5, 1.0}
    assert "skipping width 0.35: its imagenet weights are not available" in capsys.readouterr().err


def test_candidates_are_the_run_and_smaller_widths_and_inputs(tmp_path: Path) -> None:
    recipe = load_recipe("fracatlas_mobilenetv2")
    found = candidates(untrained_run(tmp_path))
    assert recipe in found
    assert len({one.name for one in found}) == len(found) == 12
    sizes = {(one.preprocessing.width, one.preprocessing.height) for one in found}
    assert sizes == {(160, 192), (256, 288), (320, 384)}
    for one in found:
        same = replace(one, name=recipe.name, model=recipe.model, preprocessing=recipe.preprocessing)
        assert same == recipe


def test_only_candidates_that_no_other_exceeds_are_the_largest(tmp_path: Path) -> None:
    found = candidates(untrained_run(tmp_path))
    assert [one.name for one in largest(found)] == ["fracatlas_mobilenetv2"]
    narrow = [one for one in found if one.model.alpha < 1 or one.preprocessing.width == 160]
    extents = {(one.model.alpha, one.preprocessing.width) for one in largest(narrow)}
    assert extents == {(1.0, 160), (0.75, 320)}


def search(run: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [OSTEOLITE, "tune", str(run), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    (folder / "small.toml").write_text("""
extends = "phantoms"
name = "small"
[preprocessing]
width = 64
height = 64
[augmentation]
rotation = 0.0
zoom = 0.0
brightness = 0.0
contrast = 0.0
[conversion]
variants = ["float32", "int8"]
calibration_images = 40
[gate]
agreement = 0.8
auroc_loss = 0.1
sensitivity_loss = 0.3
[[training.phases]]
name = "all"
epochs = 4
learning_rate = 2e-3
unfrozen = 1.0
""")
    data = write_phantoms(folder / "data", 800, 5)
    command = [OSTEOLITE, "train", str(data), "--recipe", str(folder / "small.toml"), "--out", str(folder / "run")]
    subprocess.run(command, capture_output=True, text=True, timeout=500, check=True)
    return folder / "run"


@pytest.mark.slow
def test_a_search_trains_only_candidates_that_may_win(small_run: Path) -> None:
    done = search(small_run, "--max-ms", "1000", "--max-mb", "50", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert [one["name"] for one in found["candidates"]].count("small") == 1
    # The run has the smallest width; of the sizes 32, 48 and 64 px the second rounds to 64.
    assert len(found["candidates"]) == 2
    assert {Path(one["file"]).parent.parent.name for one in found["points"]} == {"run"}  # its input exceeds the other's
    assert found["choice"]["file"] in found["front"]
    assert (small_run / "tuning" / "tune.png").is_file()
    assert json.loads((small_run / "tuning" / "tune.json").read_text()) == found


@pytest.mark.slow
def test_with_a_minimum_auroc_the_fastest_that_reaches_it_is_chosen(small_run: Path) -> None:
    done = search(small_run, "--min-auroc", "0.501", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert "small_0.35_32x32" in found["choice"]["file"]
    run = Run.open(small_run / "tuning" / "small_0.35_32x32")
    assert run.recipe.preprocessing.width == 32
    splits = {row.file: row.split for row in Run.open(small_run).catalogue.rows}
    assert {row.file: row.split for row in run.catalogue.rows} == splits


@pytest.mark.slow
def test_unmet_limits_are_refused_with_the_best_variants(small_run: Path) -> None:
    done = search(small_run, "--max-mb", "0.001")
    assert done.returncode == 3
    assert "no variant meets all limits; the best are: " in done.stderr
    assert json.loads((small_run / "tuning" / "tune.json").read_text())["choice"] is None


@pytest.mark.slow
def test_a_search_without_limits_is_refused(small_run: Path) -> None:
    done = search(small_run)
    assert done.returncode == 2
    assert "give at least one of --max-ms, --max-mb and --min-auroc" in done.stderr
