"""Cross-validation from the command line, with two networks of a few thousand weights on phantoms."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from osteolite.edge.cli import cli
from osteolite.edge.errors import DatasetError
from osteolite.train.audit.duplicates import Duplicates
from osteolite.train.data.catalogue import Catalogue, Row
from osteolite.train.data.phantoms import write_phantoms
from osteolite.train.data.pixel_cache import Images
from osteolite.train.runs.prepared import Prepared
from osteolite.train.runs.run_folder import Run
from osteolite.train.workflows.crossval import assign_folds, crossval
from osteolite.train.workflows.train import fit

SHORT = Path(__file__).parents[2] / "short.toml"
RECIPE = f"""
extends = "{SHORT}"
name = "two"
[[alternatives]]
name = "one_output"
[[alternatives]]
name = "two_outputs"
[alternatives.preprocessing]
mean = 0.0
std = 255.0
[alternatives.model]
outputs = 2
"""


def catalogue_of(groups: list[tuple[int, int]]) -> Prepared:
    """Prepared images in groups, each given as (label, number of images)."""
    rows = tuple(
        Row(f"{group}/{i}.png", label, f"g{group}") for group, (label, size) in enumerate(groups) for i in range(size)
    )
    catalogue = Catalogue(Path("data"), "classes", rows)
    empty = np.zeros((len(rows), 1, 1), np.uint8)
    return Prepared(Images(catalogue, empty, empty, (), {}), catalogue, Duplicates((), ()))


@given(
    st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(1, 4)), min_size=4, max_size=30),
    st.integers(2, 5),
    st.integers(0, 3),
)
def test_every_image_is_held_out_once_together_with_its_group(
    groups: list[tuple[int, int]], folds: int, seed: int
) -> None:
    prepared = catalogue_of(groups)
    fewest = min(sum(label == wanted for label, _ in groups) for wanted in (0, 1))
    if fewest < folds:
        with pytest.raises(DatasetError, match="fewer --folds"):
            assign_folds(prepared, folds, seed)
        return
    assigned = assign_folds(prepared, folds, seed)
    assert assigned.min() >= 1
    assert assigned.max() <= folds
    by_group: dict[str, set[int]] = {}
    for row, fold in zip(prepared.catalogue.rows, assigned, strict=True):
        by_group.setdefault(row.group, set()).add(int(fold))
    assert {len(found) for found in by_group.values()} == {1}
    np.testing.assert_array_equal(assigned, assign_folds(prepared, folds, seed))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("crossval")
    data = write_phantoms(folder / "data", 90, 3)
    shutil.copy(data / "fractured" / "phantom00001.png", data / "fractured" / "copy.png")
    recipe = folder / "two.toml"
    recipe.write_text(RECIPE)
    result = CliRunner().invoke(cli, call(data, recipe, folder / "out"))
    assert result.exit_code == 0, result.output
    return data, recipe, folder / "out", json.loads(result.stdout)


def call(data: Path, recipe: Path, out: Path, *more: str) -> list[str]:
    return ["crossval", str(data), "--recipe", str(recipe), "--folds", "3", "--out", str(out), "--json", *more]


def held_out(run: Path) -> dict[str, float]:
    with (run / "predictions.csv").open(newline="") as stream:
        lines = [line for line in csv.DictReader(stream) if line["part"] == "test"]
    return {line["file"]: float(line["fracture_probability"]) for line in lines}


@pytest.mark.slow
def test_folds_are_disjoint_and_the_same_for_both_alternatives(finished: Any) -> None:
    _, _, out, found = finished
    folds = {
        name: [set(held_out(out / name / f"fold{n}")) for n in (1, 2, 3)] for name in ("one_output", "two_outputs")
    }
    assert folds["one_output"] == folds["two_outputs"]
    assert sum(map(len, folds["one_output"])) == len(set().union(*folds["one_output"])) == found["images"] == 91
    together = [{"fractured/copy.png", "fractured/phantom00001.png"} & fold for fold in folds["one_output"]]
    assert sorted(map(len, together)) == [0, 0, 2]


@pytest.mark.slow
def test_the_summary_agrees_with_the_folds(finished: Any) -> None:
    _, _, out, found = finished
    assert json.loads((out / "crossval.json").read_text()) == found
    for one in found["results"]:
        values, hits = [], 0
        for number in (1, 2, 3):
            evaluation = json.loads((out / one["name"] / f"fold{number}" / "evaluation.json").read_text())
            values.append(evaluation["test"]["accuracy"]["value"])
            hits += evaluation["test"]["confusion"]["tp"] + evaluation["test"]["confusion"]["tn"]
        assert one["mean"]["accuracy"] == pytest.approx(np.mean(values), abs=1e-4)
        assert one["sd"]["accuracy"] == pytest.approx(np.std(values, ddof=1), abs=1e-4)
        assert one["pooled"]["accuracy"]["value"] == pytest.approx(hits / 91, abs=1e-4)
        assert one["pooled"]["auroc"]["low"] <= one["pooled"]["auroc"]["value"] <= one["pooled"]["auroc"]["high"]
    first, second = (one["pooled"]["accuracy"]["value"] for one in found["results"])
    assert found["differences"][0]["accuracy"]["value"] == pytest.approx(second - first, abs=1e-4)


@pytest.mark.slow
def test_a_second_call_trains_only_missing_folds_and_decodes_no_image(
    finished: Any,
) -> None:
    data, recipe, out, found = finished
    (out / "two_outputs" / "fold2" / "evaluation.json").unlink()
    decoded = {path: path.stat().st_mtime_ns for path in out.rglob("pixels.npy")}
    assert decoded
    trained = []

    def counted(run: Run, *arguments: Any) -> Any:
        trained.append(run.folder.relative_to(out).as_posix())
        return fit(run, *arguments)

    again = crossval(data, str(recipe), 3, out, None, 1, fit=counted)
    assert trained == ["two_outputs/fold2"]
    assert again["results"] == found["results"]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("pixels.npy")} == decoded


@pytest.mark.slow
def test_a_folder_of_another_cross_validation_is_refused(finished: Any) -> None:
    data, recipe, out, _ = finished
    other = CliRunner().invoke(cli, call(data, recipe, out, "--seed", "2"))
    assert other.exit_code == 2
    assert "another recipe, data, seed or starting weights" in other.output


@pytest.mark.slow
def test_a_fold_converts_with_two_outputs_as_one_logit(finished: Any) -> None:
    _, _, out, _ = finished
    result = CliRunner().invoke(cli, ["convert", str(out / "two_outputs" / "fold1")])
    assert result.exit_code == 0, result.output
    assert (out / "two_outputs" / "fold1" / "models" / "two_outputs_float32.tflite").is_file()
