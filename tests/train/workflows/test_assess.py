"""What is said of a run from its logits; that a training writes it is tested where something is trained."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from osteolite.train.metrics.probability_calibration import probabilities
from osteolite.train.runs.run_folder import Run


def test_calibration_and_threshold_come_from_validation_alone(finished_run: Callable[..., Run]) -> None:
    """Another test part changes nothing that was chosen."""
    plain = finished_run("plain").json("evaluation.json")
    turned = finished_run(
        "turned", change=lambda row: replace(row, label=1 - row.label) if row.split == "test" else row
    )
    found = turned.json("evaluation.json")
    assert found["probability_calibration"] == plain["probability_calibration"]
    assert found["threshold"]["value"] == plain["threshold"]["value"]
    assert found["validation"] == plain["validation"]
    assert found["test"]["auroc"] != plain["test"]["auroc"]


def test_calibration_mends_the_shifted_logits(finished_run: Callable[..., Run]) -> None:
    found = finished_run().json("evaluation.json")
    assert found["probability_calibration"]["method"] == "platt"
    for part in ("validation", "test"):
        assert found[part]["ece"]["value"] < 0.6 * found["uncalibrated"][part]["ece"]["value"]
        assert found[part]["brier"]["value"] < found["uncalibrated"][part]["brier"]["value"]


def test_the_promise_is_of_groups_that_the_threshold_was_not_chosen_on(finished_run: Callable[..., Run]) -> None:
    found = finished_run().json("evaluation.json")
    promise = found["threshold"]["promise"]
    own = found["validation"]["sensitivity"]
    assert promise["sensitivity"]["high"] - promise["sensitivity"]["low"] > own["high"] - own["low"]
    assert promise["test"] == found["test"]["sensitivity"]["value"]
    assert promise["kept"] == (promise["sensitivity"]["low"] <= promise["test"] <= promise["sensitivity"]["high"])


def test_predictions_give_the_stored_figures(finished_run: Callable[..., Run]) -> None:
    run = finished_run()
    found = run.json("evaluation.json")
    calibration, threshold = found["probability_calibration"], found["threshold"]["value"]
    with run.path("predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["file", "part", "label", "group", "study", "logit", "fracture_probability"]
    test = [row for row in rows if row["part"] == "test"]
    scores = np.array([float(row["fracture_probability"]) for row in test])
    logits = np.array([float(row["logit"]) for row in test])
    assert probabilities(logits, calibration["slope"], calibration["intercept"]) == pytest.approx(scores, abs=1e-6)
    hits = sum(score >= threshold for score, row in zip(scores, test, strict=True) if row["label"] == "1")
    assert hits == found["test"]["confusion"]["tp"]


def test_studies_are_judged_as_one(finished_run: Callable[..., Run]) -> None:
    def in_studies(row):
        study = row.group
        return replace(row, study=study, label=int(int(study.split()[1]) % 3 == 0))

    found = finished_run(change=in_studies).json("evaluation.json")
    assert (found["threshold"]["unit"], found["test"]["unit"]) == ("study", "study")
    assert (found["test"]["count"], found["test"]["images"]) == (100, 400)
    assert sum(found["test"]["confusion"].values()) == 100
    alone = finished_run("alone", change=lambda row: replace(in_studies(row), study="")).json("evaluation.json")
    assert found["test"]["auroc"]["value"] > alone["test"]["auroc"]["value"]  # the mean of four answers is a better one
    json.dumps(found, allow_nan=False)
