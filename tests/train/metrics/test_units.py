import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteolite.train.data.catalogue import Row
from osteolite.train.metrics.units import gather_units, subgroups


def row(number: int, label: int = 0, **more: str) -> Row:
    return Row(f"{number:03d}.png", label, f"group {number // 2}", **more)


def test_without_studies_each_image_is_a_unit() -> None:
    units = gather_units([row(2, 1), row(0), row(1)], np.array([0.9, 0.1, 0.2]))
    assert (units.unit, units.labels.tolist(), units.scores.tolist()) == ("image", [0, 0, 1], [0.1, 0.2, 0.9])


@settings(max_examples=10)
@given(st.permutations(range(5)))
def test_a_study_scores_the_mean_of_its_images_in_any_order(order: list[int]) -> None:
    rows = [row(0, 1, study="a"), row(1, 1, study="a"), row(2, study="b"), row(3, 1, study="a"), row(4, study="c")]
    scores = np.array([0.2, 0.4, 0.1, 0.9, 0.3])
    units = gather_units([rows[i] for i in order], scores[order])
    assert units.unit == "study"
    assert units.labels.tolist() == [1, 0, 0]
    assert units.scores.tolist() == pytest.approx([0.5, 0.1, 0.3])
    found = units.metrics(0.45)
    assert (found["unit"], found["count"], found["images"], found["fractured"]) == ("study", 3, 5, 1)
    assert found["confusion"] == {"tp": 1, "fp": 0, "fn": 0, "tn": 2}


def test_one_fractured_image_makes_the_study_fractured() -> None:
    assert gather_units([row(0, study="a"), row(1, 1, study="a")], np.zeros(2)).labels.tolist() == [1]


def test_metrics_need_ten_units_of_each_class_they_depend_on() -> None:
    rows = [row(i, int(i < 10), body_part="hand") for i in range(30)]
    rows += [row(i, int(i < 39), body_part="leg") for i in range(30, 60)]
    rows += [row(i, 0, body_part="hip") for i in range(60, 65)]
    found = {one["value"]: one for one in subgroups(gather_units(rows, np.linspace(0, 1, 65)), 0.5)}
    assert set(found) == {"hand", "leg", "hip"}
    assert {"auroc", "sensitivity", "specificity", "kappa"} <= set(found["hand"])
    assert "specificity" in found["leg"]
    assert not {"auroc", "sensitivity", "recall", "accuracy"} & set(found["leg"])
    assert (found["hip"]["count"], found["hip"]["fractured"], "specificity" in found["hip"]) == (5, 0, False)
    json.dumps(list(found.values()), allow_nan=False)


def test_an_image_of_two_body_parts_counts_in_both_and_one_without_in_none() -> None:
    rows = [row(0, body_part="hand+leg"), row(1, 1, body_part="leg"), row(2)]
    counts = {(one["by"], one["value"]): one["count"] for one in subgroups(gather_units(rows, np.zeros(3)), 0.5)}
    assert counts == {("body_part", "hand"): 1, ("body_part", "leg"): 2}


def test_a_study_counts_in_the_views_of_all_its_images() -> None:
    rows = [row(0, study="a", view="frontal"), row(1, study="a", view="lateral"), row(2, study="b", view="lateral")]
    counts = {one["value"]: one["count"] for one in subgroups(gather_units(rows, np.zeros(3)), 0.5)}
    assert counts == {"frontal": 1, "lateral": 2}


def test_a_trait_with_one_value_gives_no_subgroup() -> None:
    rows = [row(i, i % 2, body_part="humerus", hardware=("yes", "no")[i % 2]) for i in range(4)]
    assert {one["by"] for one in subgroups(gather_units(rows, np.zeros(4)), 0.5)} == {"hardware"}


def test_a_file_listed_twice_counts_twice() -> None:
    units = gather_units([row(0, 1), row(1), row(0, 1)], np.array([0.9, 0.1, 0.9]))
    assert units.labels.tolist() == [1, 1, 0]
