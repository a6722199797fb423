"""The results of `osteolite run`."""

import csv
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from osteolite.edge.cli import cli, load_command
from osteolite.edge.errors import GateRefusal
from osteolite.train.recipe import parse_recipe, to_toml
from osteolite.train.workflows.end_to_end import run_all_steps

OSTEOLITE = str(Path(sys.executable).with_name("osteolite"))


def test_int8_finds_fractures_on_unseen_phantoms(phantom_run: Path) -> None:
    results = json.loads((phantom_run / "benchmark.json").read_text())["results"]
    auroc = {one["variant"]: one["auroc"] for one in results}
    assert set(auroc) == {"float32", "float16", "dynamic", "int8"}
    assert auroc["int8"] >= 0.9
    assert auroc["int8"] >= auroc["float32"] - 0.01


def test_each_step_is_printed_and_an_unseen_image_predicted(phantom_run: Path) -> None:
    log = (phantom_run.parent / "run.err").read_text()
    for step in ("train", "convert", "bench", "predict"):
        assert f"$ osteolite {step} " in log
    last = (phantom_run.parent / "run.out").read_text().splitlines()[-1]
    assert re.search(r"unseen_phantom\.png +fractured +[01]\.\d+", last)


def test_the_report_is_self_contained(phantom_run: Path) -> None:
    page = (phantom_run / "report.html").read_text()
    assert "Research use only" in page
    for heading in ("Data", "Metrics of the trained model", "Variants and the gate", "Speed and accuracy"):
        assert f"<h2>{heading}" in page
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/png;base64,', page)) == 6
    assert not re.findall(r'(?:src|href)="(?!data:)', page)


def test_the_keras_model_and_the_model_file_agree(phantom_run: Path) -> None:
    def evaluated(model: Path) -> dict[str, Any]:
        data = phantom_run / "catalogue.csv"
        arguments = [OSTEOLITE, "evaluate", str(model), str(data), "--part", "test", "--json"]
        result = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=True)
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    stored = json.loads((phantom_run / "evaluation.json").read_text())["test"]
    keras, float32 = evaluated(phantom_run), evaluated(phantom_run / "models" / "phantoms_float32.tflite")
    assert keras["auroc"]["value"] == pytest.approx(stored["auroc"]["value"], abs=1e-3)
    assert float32["auroc"]["value"] == pytest.approx(stored["auroc"]["value"], abs=1e-3)
    assert float32["confusion"] == stored["confusion"]


def test_the_predictions_reproduce_the_stored_metrics(phantom_run: Path) -> None:
    evaluation = json.loads((phantom_run / "evaluation.json").read_text())
    with (phantom_run / "predictions.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["part"] == "test"]
    hits = sum(float(r["fracture_probability"]) >= evaluation["threshold"]["value"] for r in rows if r["label"] == "1")
    assert hits == evaluation["test"]["confusion"]["tp"]


def test_data_without_a_recipe_is_a_usage_error(tmp_path: Path) -> None:
    result = subprocess.run([OSTEOLITE, "run", str(tmp_path)], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "--recipe" in result.stderr


def test_a_missing_image_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    command = [OSTEOLITE, "run", "--out", str(tmp_path / "run"), "--image", str(tmp_path / "xray.png")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "no such file; name a radiograph" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("named", [False, True])
def test_a_given_image_is_predicted_with_the_shipped_model(phantom_run: Path, tmp_path: Path, named: bool) -> None:
    folder = shutil.copytree(phantom_run, tmp_path / "phantoms", ignore=shutil.ignore_patterns("cache", "checkpoints"))
    calls: list[tuple[str, ...]] = []

    def command(name: str) -> click.Command:
        def note(arguments: tuple[str, ...]) -> None:
            calls.append((name, *arguments))

        everything = {"ignore_unknown_options": True}
        arguments = click.Argument(["arguments"], nargs=-1)
        return click.Command(name, context_settings=everything, callback=note, params=[arguments])

    image = phantom_run / "unseen_phantom.png"
    with click.Context(cli) as context:
        data = str(phantom_run.parent / "phantoms-data")
        run_all_steps(context, command, data, "phantoms", str(folder), None, 1, False, str(image) if named else None)
    assert [name for name, *_ in calls] == ["train", "convert", "bench", "predict"]
    _, predicted, *options = calls[-1]
    assert Path(predicted).name == "unseen_phantom.png"
    assert options == ([] if named else ["--model", str(folder / "models" / "phantoms_int8.tflite")])


@pytest.mark.slow
def test_a_refused_variant_is_an_error_at_the_end_and_the_others_are_benchmarked(
    phantom_run: Path, tmp_path: Path
) -> None:
    """A trained run is reused; almost black calibration data spoil int8 but not float32."""
    own = Path(shutil.copytree(phantom_run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints")))
    recipe = tmp_path / "two.toml"
    before = parse_recipe((own / "recipe.toml").read_text(), "recipe.toml")
    recipe.write_text(to_toml(replace(before, conversion=replace(before.conversion, variants=("float32", "int8")))))
    shutil.copy(recipe, own / "recipe.toml")
    dark = tmp_path / "dark"
    for number in range(20):
        path = dark / ("fractured", "normal")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 4, (96, 96), np.uint8)).save(path)

    def command(name: str) -> click.Command:
        return with_arguments("convert", "--calibration", str(dark)) if name == "convert" else load_command(name)

    data = json.loads((own / "run.json").read_text())["data"]
    with click.Context(cli) as context, pytest.raises(GateRefusal, match="refused and not written: int8"):
        run_all_steps(context, command, data, str(recipe), str(own), None, 1, False)
    benchmark = json.loads((own / "benchmark.json").read_text())
    assert {one["variant"] for one in benchmark["results"]} == {"float32"}
    assert "refused:" in (own / "report.html").read_text()


def with_arguments(name: str, *more: str) -> click.Command:
    """A command of the command line that gets further arguments."""

    def call(arguments: tuple[str, ...]) -> None:
        load_command(name).main([*arguments, *more], standalone_mode=False)

    return click.Command(
        name,
        context_settings={"ignore_unknown_options": True},
        callback=call,
        params=[click.Argument(["arguments"], nargs=-1)],
    )
