"""Evaluation of a run's logits; the tests of training check that a training writes it."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from osteolite.train.data.catalogue import Row
from osteolite.train.metrics.probability_calibration import probabilities
from osteolite.train.runs.run_folder import Run


def test_calibration_and_threshold_come_from_validation_alone(finished_run: Callable[..., Run]) -> None:
    """Changing the test split changes no choice."""
    plain = finished_run("plain").json("evaluation.json")
    turned = finished_run(
        "turned", change=lambda row: replace(row, label=1 - row.label) if row.split == "test" else row
    )
    found = turned.json("evaluation.json")
    assert found["probability_calibration"] == plain["probability_calibration"]
    assert found["threshold"]["value"] == plain["threshold"]["value"]
    assert found["validation"] == plain["validation"]
    assert found["test"]["auroc"] != plain["test"]["auroc"]


def test_calibration_corrects_shifted_logits(finished_run: Callable[..., Run]) -> None:
    found = finished_run().json("evaluation.json")
    assert found["probability_calibration"]["method"] == "platt"
    for part in ("validation", "test"):
        assert found[part]["ece"]["value"] < 0.6 * found["uncalibrated"][part]["ece"]["value"]
        assert found[part]["brier"]["value"] < found["uncalibrated"][part]["brier"]["value"]


def test_the_expected_sensitivity_comes_from_groups_held_out_from_the_choice(finished_run: Callable[..., Run]) -> None:
    found = finished_run().json("evaluation.json")
    expected = found["threshold"]["promise"]
    own = found["validation"]["sensitivity"]
    assert expected["sensitivity"]["high"] - expected["sensitivity"]["low"] > own["high"] - own["low"]
    assert expected["test"] == found["test"]["sensitivity"]["value"]
    assert expected["kept"] == (expected["sensitivity"]["low"] <= expected["test"] <= expected["sensitivity"]["high"])


def test_the_predictions_reproduce_the_stored_metrics(finished_run: Callable[..., Run]) -> None:
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


def test_the_images_of_a_study_count_as_one(finished_run: Callable[..., Run]) -> None:
    def in_studies(row: Row) -> Row:
        return replace(row, study=row.group, label=int(int(row.group.split()[1]) % 3 == 0))

    found = finished_run(change=in_studies).json("evaluation.json")
    assert (found["threshold"]["unit"], found["test"]["unit"]) == ("study", "study")
    assert (found["test"]["count"], found["test"]["images"]) == (100, 400)
    assert sum(found["test"]["confusion"].values()) == 100
    alone = finished_run("alone", change=lambda row: replace(in_studies(row), study="")).json("evaluation.json")
    assert found["test"]["auroc"]["value"] > alone["test"]["auroc"]["value"]  # the mean of four scores is better
    json.dumps(found, allow_nan=False)
