"""The HTML report."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from osteolite.edge.atomic import write_json
from osteolite.train.metrics.metrics import METRICS
from osteolite.train.report.report import write_report
from osteolite.train.runs.run_folder import Run

_LEAK = {"images": 400, "identical": 80, "near_duplicate": 100, "identical_share": 0.2, "near_duplicate_share": 0.25}
_CLEAN = {"images": 240, "identical": 0, "near_duplicate": 0, "identical_share": 0.0, "near_duplicate_share": 0.0}


def audit(test: dict[str, float], allow_leaks: bool) -> dict[str, Any]:
    return {"audit": {"leaks": {"test": test, "val": _CLEAN}, "conflicting_groups": 3, "allow_leaks": allow_leaks}}


class Text(HTMLParser):
    """The visible words of a page; it also checks that every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words += data.split()


def read(run: Run) -> str:
    page = write_report(run).read_text()
    text = Text(page)
    assert not text.open
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    return " ".join(text.words)


def test_the_report_shows_every_metric_and_plot(finished_run: Callable[..., Run]) -> None:
    run = finished_run()
    words = read(run)
    test = run.json("evaluation.json")["test"]
    for name, title in METRICS.items():
        assert title in words
        assert f"{test[name]['value']:.3f} {test[name]['low']:.3f} to {test[name]['high']:.3f}" in words
    pictures = re.findall(r'<img alt="([^"]+)" src="data:image/png;base64,', run.path("report.html").read_text())
    assert pictures == [
        "Training",
        "ROC curve",
        "Precision and recall",
        "Reliability before calibration",
        "Reliability after calibration",
        "Confusion matrix, test split",
    ]
    assert "Research use only" in words
    assert "Starting weights: none (random)" in words
    assert "1 unreadable file was left out" in words
    assert "Platt scaling" in words
    for subgroup in ("body part: hand", "body part: leg", "view: lateral"):
        assert subgroup in words


def test_an_accepted_leak_is_stated_above_the_metrics(finished_run: Callable[..., Run]) -> None:
    words = read(finished_run(about=audit(_LEAK, True)))
    assert words.index("Inflated metrics") < words.index("AUROC")
    assert "25.0 % of the test split are copies or near-duplicates of training images" in words
    assert "validation split are copies" not in words


@pytest.mark.parametrize("about", [audit(_CLEAN, True), audit(_CLEAN, False), {}])
def test_without_a_leak_there_is_no_banner(finished_run: Callable[..., Run], about: dict[str, Any]) -> None:
    words = read(finished_run(about=about))
    assert "Inflated" not in words
    assert ("Audit of the split" in words) == bool(about)


def test_published_results_are_marked_as_not_measured(finished_run: Callable[..., Run]) -> None:
    words = read(finished_run(recipe={"published": "94.80 % accuracy <somewhere>"}))
    assert "Published elsewhere, not measured here: 94.80 % accuracy <somewhere>" in words
    assert "Published elsewhere" not in read(finished_run("none"))


def test_the_report_names_the_unit(finished_run: Callable[..., Run]) -> None:
    words = read(finished_run(change=lambda row: replace(row, study=row.group)))
    assert "The unit is the study" in words
    assert "100 studies" in words
    assert "The unit is the image" in read(finished_run("images"))


def test_a_run_without_traits_has_no_subgroups(finished_run: Callable[..., Run]) -> None:
    assert "Subgroups" not in read(finished_run(change=lambda row: replace(row, body_part="", view="")))


def test_the_report_says_whether_the_sensitivity_is_in_the_expected_range(finished_run: Callable[..., Run]) -> None:
    kept = finished_run()
    assert kept.json("evaluation.json")["threshold"]["promise"]["kept"]
    assert "within the expected range" in read(kept)
    evaluation = kept.json("evaluation.json")
    evaluation["threshold"]["promise"] |= {"test": 0.1, "kept": False}
    kept.path("evaluation.json").write_text(json.dumps(evaluation))
    assert "0.100 on the test split, outside the expected range" in read(kept)


def test_report_and_model_card_are_written(finished_run: Callable[..., Run]) -> None:
    run = finished_run()
    assert write_report(run) == run.path("report.html")
    assert run.path("card.md").is_file()


def test_a_refused_variant_is_named_with_the_reason(finished_run: Callable[..., Run]) -> None:
    run = finished_run()
    gate = {"images": 240, "auroc": {"value": 0.0, "low": -0.01, "high": 0.01}, "sensitivity": {"value": -0.04}}
    gate |= {"agreement": 0.95, "passed": False, "reasons": ["this changes", "and that"]}
    gate |= {"own_auroc": {"value": 0.93, "low": 0.9, "high": 0.96}, "flips": {"broken": 7, "mended": 2, "p": 0.1797}}
    passed = gate | {"passed": True, "reasons": []}
    variants = [
        {"variant": "float32", "bytes": 9e6, "compressed_bytes": 8e6, "gate": passed},
        {"variant": "int8", "bytes": 3e6, "compressed_bytes": 2e6, "gate": gate},
    ]
    seen = {"images": 9, "from": "training split", "warnings": ["they are all too dark"]}
    write_json(run.path("models/conversion.json"), {"variants": variants, "quantisation_calibration": seen})
    words = read(run)
    assert "int8 was refused: this changes; and that." in words
    assert "float32 was refused" not in words
    assert "they are all too dark" in words
    assert "7 / 2 0.18" in words
