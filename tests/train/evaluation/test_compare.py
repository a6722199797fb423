"""Comparison of finished runs."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from osteolite.edge.cli import cli
from osteolite.edge.errors import UsageError
from osteolite.train.data.catalogue import Row
from osteolite.train.evaluation.compare import DIFFERENCES, compare
from osteolite.train.metrics.metrics import METRICS
from osteolite.train.runs.run_folder import Run

pytestmark = pytest.mark.slow


def folders(*runs: Run) -> list[Path]:
    return [run.folder for run in runs]


def test_a_copy_of_a_run_differs_by_zero(finished_run: Callable[..., Run], tmp_path: Path) -> None:
    run = finished_run()
    shutil.copytree(run.folder, tmp_path / "copy")
    found = compare([run.folder, tmp_path / "copy"])["runs"]
    assert found[0]["differences"] is None
    assert set(found[1]["differences"]) == set(DIFFERENCES)
    assert all(set(change.values()) == {0.0} for change in found[1]["differences"].values())


def test_differences_equal_those_of_the_metrics_and_are_paired(finished_run: Callable[..., Run]) -> None:
    worse, better = finished_run("worse", skill=1.5), finished_run("better", skill=1.8)
    found = compare(folders(worse, better))["runs"]
    for name in DIFFERENCES:
        change = found[1]["differences"][name]
        expected = found[1]["test"][name]["value"] - found[0]["test"][name]["value"]
        assert change["value"] == pytest.approx(expected, abs=2e-5)
        assert change["low"] <= change["value"] <= change["high"]
    of_difference = found[1]["differences"]["auroc"]
    alone = found[0]["test"]["auroc"]
    assert of_difference["low"] > 0  # both runs have the same noise
    assert of_difference["high"] - of_difference["low"] < 0.5 * (alone["high"] - alone["low"])


def test_runs_on_other_test_images_get_no_difference(finished_run: Callable[..., Run]) -> None:
    found = compare(folders(finished_run("one", data=1), finished_run("two", data=2)))["runs"]
    assert [run["same_test_images"] for run in found] == [True, False]
    assert found[1]["differences"] is None


def test_the_same_images_are_recognised_in_another_folder_and_order(finished_run: Callable[..., Run]) -> None:
    one = finished_run("one")
    two = finished_run("two", seed=2, about={"data": "/elsewhere", "root": "/elsewhere"})
    lines = two.path("predictions.csv").read_text().splitlines(keepends=True)
    two.path("predictions.csv").write_text("".join([lines[0], *reversed(lines[1:])]))
    change = compare(folders(one, two))["runs"][1]["differences"]["auroc"]["value"]
    tested = [run.json("evaluation.json")["test"]["auroc"]["value"] for run in (one, two)]
    assert change == pytest.approx(tested[1] - tested[0], abs=2e-5)


def test_each_image_is_decided_by_the_threshold_of_its_stage(finished_run: Callable[..., Run]) -> None:
    one, two = finished_run("one"), finished_run("two")
    lines = two.path("predictions.csv").read_text().splitlines()
    rows = [f"{line},{2.0 if 'test 1,' in line else -1.0}" for line in lines[1:]]
    two.path("predictions.csv").write_text("\n".join([f"{lines[0]},threshold", *rows]) + "\n")
    evaluation = two.json("evaluation.json")
    del evaluation["threshold"]
    two.path("evaluation.json").write_text(json.dumps(evaluation))
    change = compare(folders(one, two))["runs"][1]["differences"]
    before = one.json("evaluation.json")["test"]
    normal = [line for line in lines if ",test,0," in line]
    refused = sum("test 1," in line for line in normal) / len(normal)
    assert change["specificity"]["value"] == pytest.approx(refused - before["specificity"]["value"], abs=2e-5)


def test_studies_are_compared_as_studies(finished_run: Callable[..., Run]) -> None:
    def in_studies(row: Row) -> Row:
        return replace(row, study=row.group, label=int(int(row.group.split()[1]) % 3 == 0))

    found = compare(folders(*(finished_run(f"r{seed}", seed, change=in_studies) for seed in (1, 2))))["runs"]
    assert (found[1]["unit"], found[1]["count"]) == ("study", 100)
    expected = found[1]["test"]["accuracy"]["value"] - found[0]["test"]["accuracy"]["value"]
    assert found[1]["differences"]["accuracy"]["value"] == pytest.approx(expected, abs=2e-5)


def test_runs_with_different_seeds_are_summarised(finished_run: Callable[..., Run]) -> None:
    runs = [finished_run(f"seed{seed}", seed, data=seed) for seed in (1, 2, 3)]
    found = compare(folders(*runs))["summary"]
    assert set(found) == set(METRICS)
    values = [run.json("evaluation.json")["test"]["f1"]["value"] for run in runs]
    assert found["f1"]["mean"] == pytest.approx(np.mean(values), abs=1e-5)
    assert found["f1"]["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-5)
    assert (found["f1"]["min"], found["f1"]["max"]) == (min(values), max(values))


def test_the_command_prints_tables_or_json(finished_run: Callable[..., Run]) -> None:
    names = [str(finished_run(name, seed, data).folder) for name, seed, data in (("a", 1, 1), ("b", 2, 1), ("c", 3, 2))]
    table = CliRunner().invoke(cli, ["compare", *names])
    assert table.exit_code == 0, table.output
    assert "paired 95 % intervals" in table.output
    assert f"{names[2]} was tested on other images than {names[0]}" in table.output
    printed = json.loads(CliRunner().invoke(cli, ["compare", *names, "--json"]).stdout)
    assert printed == compare([Path(name) for name in names])


def test_runs_that_differ_by_more_than_the_seed_have_no_summary(finished_run: Callable[..., Run]) -> None:
    first = finished_run("a", 1, 1).folder
    seeds = compare([first, finished_run("b", 2, 1).folder])
    others = compare([first, finished_run("c", 1, 1, about={"data": "/another/set"}).folder])
    assert seeds["summary"]["auroc"]["min"] <= seeds["summary"]["auroc"]["mean"] <= seeds["summary"]["auroc"]["max"]
    assert others["summary"] is None


def test_unusable_runs_are_refused_with_the_reason(finished_run: Callable[..., Run], tmp_path: Path) -> None:
    run = finished_run()
    with pytest.raises(UsageError, match="two or more runs"):
        compare([run.folder])
    with pytest.raises(UsageError, match="is not a run folder"):
        compare([run.folder, tmp_path / "nothing"])
    old = finished_run("old")
    old.path("predictions.csv").write_text("file,part,label,fracture_probability\na.png,test,1,0.5\n")
    with pytest.raises(UsageError, match=r"has no 'group'.*train an older run again"):
        compare([run.folder, old.folder])
