"""The model card."""

import re
import shlex
from collections.abc import Callable

import click
import pytest

from osteolite.edge.cli import load_command
from osteolite.train.metrics.metrics import METRICS
from osteolite.train.report.model_card import write_card
from osteolite.train.runs.run_folder import Run


def test_a_model_hub_reads_the_metadata(finished_run: Callable[..., Run]) -> None:
    hub = pytest.importorskip("huggingface_hub")
    run = finished_run()
    card = hub.ModelCard(write_card(run).read_text())
    data = card.data.to_dict()
    assert data["pipeline_tag"] == "image-classification"
    assert data["library_name"] == "tf-keras"
    assert data["datasets"] == ["two-words"]
    assert {"license", "tags", "metrics"} <= set(data)
    test = run.json("evaluation.json")["test"]
    stated = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert stated["roc_auc"] == test["auroc"]["value"]
    assert stated["recall"] == test["sensitivity"]["value"]


@pytest.mark.parametrize("recipe", [{"name": 'a: "b" #c'}, {"name": "null"}, {"name": "- x"}])
def test_the_metadata_quote_any_recipe_name(finished_run: Callable[..., Run], recipe: dict[str, str]) -> None:
    yaml = pytest.importorskip("yaml")
    head = write_card(finished_run(recipe=recipe)).read_text().split("---\n")[1]
    assert yaml.safe_load(head)["model-index"][0]["name"] == recipe["name"]


def test_the_card_has_all_sections_and_metrics(finished_run: Callable[..., Run]) -> None:
    run = finished_run(about={"attribution": "Jane & Co <data>, CC BY 4.0"}, recipe={"published": "99 % accuracy"})
    page = write_card(run).read_text()
    headings = re.findall(r"^##+ (.+)$", page, re.MULTILINE)
    assert headings == [
        "Intended use",
        "Data and splits",
        "Metrics",
        "Subgroups of the test split",
        "Probability calibration",
        "Threshold",
        "Limits",
        "Licence and attribution",
        "How to reproduce",
    ]
    assert "not a medical device" in page
    assert "Jane & Co <data>, CC BY 4.0" in page
    assert "Published elsewhere, not measured here: 99 % accuracy" in page
    found = run.json("evaluation.json")["test"]
    for name, title in METRICS.items():
        metric = f"{found[name]['value']:.3f} ({found[name]['low']:.3f} to {found[name]['high']:.3f})"
        assert re.search(rf"^\| {re.escape(title)} \|.*\| {re.escape(metric)} \|$", page, re.MULTILINE), title


def test_the_rows_of_each_table_have_equally_many_cells(finished_run: Callable[..., Run]) -> None:
    page = write_card(finished_run()).read_text()
    tables = re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE)
    assert len(tables) == 3
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_an_accepted_leak_is_stated(finished_run: Callable[..., Run]) -> None:
    leak = {"identical_share": 0.1, "near_duplicate_share": 0.3}
    audit = {"leaks": {"test": leak, "val": leak}, "conflicting_groups": 0, "allow_leaks": True}
    page = write_card(finished_run(about={"audit": audit})).read_text()
    assert "**Inflated metrics.**" in page
    assert "30.0 % of the test split" in page
    assert "--allow-leaks" in page
    assert "--allow-leaks" not in write_card(finished_run("clean")).read_text()


@pytest.mark.parametrize(
    ("start", "weights"),
    [("none (random)", "none"), ("imagenet", "imagenet"), ("weights.h5", "weights.h5"), ("a run of x on y", "RUN")],
)
def test_the_command_to_reproduce_is_valid_for_train(
    finished_run: Callable[..., Run], start: str, weights: str
) -> None:
    page = write_card(finished_run(seed=7, about={"weights": {"start": start, "sha256": "ab" * 32}})).read_text()
    command = next(line for line in page.splitlines() if line.startswith("osteolite train"))
    context: click.Context = load_command("train").make_context("train", shlex.split(command)[2:])
    assert (context.params["seed"], context.params["weights"]) == (7, weights)
    assert "ab" * 32 in page
