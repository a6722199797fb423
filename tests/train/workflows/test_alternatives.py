"""A recipe with alternatives: one call, two runs, one table."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from osteolite.edge.cli import cli
from osteolite.edge.errors import UsageError
from osteolite.train.data.phantoms import write_phantoms
from osteolite.train.runs.run_folder import open_runs

SHORT = Path(__file__).parents[2] / "short.toml"
RECIPE = f"""
extends = "{SHORT}"
name = "pair"
[[alternatives]]
name = "plain"
[[alternatives]]
name = "squeeze"
[alternatives.preprocessing]
channels = "rgb"
[alternatives.model]
backbone = "squeezenet"
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("alternatives")
    write_phantoms(folder / "data", 80, 3)
    (folder / "pair.toml").write_text(RECIPE)
    result = CliRunner().invoke(
        cli, ["run", str(folder / "data"), "--recipe", str(folder / "pair.toml"), "--out", str(folder / "out")]
    )
    assert result.exit_code == 0, result.output
    return folder / "out", result.stdout


@pytest.mark.slow
def test_each_alternative_is_a_run_on_the_same_images_and_split(trained: tuple[Path, str]) -> None:
    runs = open_runs(trained[0])
    assert [run.folder.name for run in runs] == ["plain", "squeeze"]
    assert runs[0].catalogue == runs[1].catalogue
    assert [path.parent.name for path in trained[0].rglob("pixels.npy")] == ["32x32_pad_bilinear"]  # read once


@pytest.mark.slow
def test_one_table_compares_them(trained: tuple[Path, str]) -> None:
    out, printed = trained
    with (out / "table.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    for line, run in zip(lines, open_runs(out), strict=True):
        test = run.json("evaluation.json")["test"]
        assert float(line["recall"]) == test["recall"]["value"]
        assert float(line["auroc_low"]) == test["auroc"]["low"]
        assert line["start"] == "none (random)"
    assert "The alternatives on the same" in printed


@pytest.mark.slow
def test_all_are_benchmarked_together_and_each_is_reported(trained: tuple[Path, str]) -> None:
    out, _ = trained
    together = json.loads((out / "benchmark.json").read_text())["results"]
    assert {one["file"] for one in together} == {"plain_float32.tflite", "squeeze_float32.tflite"}
    for name in ("plain", "squeeze"):
        own = json.loads((out / name / "benchmark.json").read_text())["results"]
        assert {one["file"] for one in own} == {f"{name}_float32.tflite"}
        assert "Speed" in (out / name / "report.html").read_text()


@pytest.mark.slow
def test_each_alternative_starts_from_the_earlier_run_of_its_name(trained: tuple[Path, str], tmp_path: Path) -> None:
    out, _ = trained
    write_phantoms(tmp_path / "data", 60, 9)
    recipe = str(out.parent / "pair.toml")
    arguments: list[Any] = ["train", tmp_path / "data", "--recipe", recipe, "--out", tmp_path / "o", "--weights", out]
    result = CliRunner().invoke(cli, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    starts = [run.json("run.json")["weights"] for run in open_runs(tmp_path / "o")]
    assert [start["recipe"] for start in starts] == ["plain", "squeeze"]


def test_missing_starting_weights_are_an_error_before_any_training(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "data", 8, 3)
    (tmp_path / "pair.toml").write_text(RECIPE)
    arguments = ["train", tmp_path / "data", "--recipe", tmp_path / "pair.toml", "--out", tmp_path / "out"]
    result = CliRunner().invoke(cli, [str(one) for one in [*arguments, "--weights", "imagenet"]])
    assert result.exit_code == 2
    assert "no published ImageNet weights" in result.output
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a run folder"):
        open_runs(tmp_path)
