"""The out-of-distribution limit: fitting, scoring, reading and writing."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.edge.errors import ModelFileError
from osteolite.edge.modelfile.out_of_distribution import OutOfDistributionLimit, Vector


def known(images: int, seed: int = 0) -> Vector:
    """Return 40 features per image that vary in three directions, and a little in all."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(3, 40))
    return (5 + random.normal(size=(images, 3)) @ directions + 0.1 * random.normal(size=(images, 40))).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def out_of_distribution() -> OutOfDistributionLimit:
    return OutOfDistributionLimit.fit(known(400), known(3000, seed=1), 0.98)


def test_the_requested_share_of_known_images_is_within_the_limit(out_of_distribution: OutOfDistributionLimit) -> None:
    scores = np.array([out_of_distribution.score(one) for one in known(2000, seed=2)])
    assert np.mean(scores > out_of_distribution.limit) == pytest.approx(0.02, abs=0.015)


def test_images_that_vary_in_other_directions_exceed_the_limit(out_of_distribution: OutOfDistributionLimit) -> None:
    unknown = known(200, seed=3) + 2 * np.random.default_rng(4).normal(size=(200, 40))
    assert all(out_of_distribution.score(one) > 3 * out_of_distribution.limit for one in unknown.astype(np.float32))


def test_the_limit_survives_json(out_of_distribution: OutOfDistributionLimit) -> None:
    again = OutOfDistributionLimit.from_dict(json.loads(json.dumps(out_of_distribution.to_dict())))
    for one in known(20, seed=5):
        assert again.score(one) == out_of_distribution.score(one)
    assert again.limit == out_of_distribution.limit


@given(st.integers(2, 30), st.integers(1, 60), st.integers(0, 9))
def test_few_images_or_features_give_finite_scores(images: int, features: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(images, features)).astype(np.float32)
    found = OutOfDistributionLimit.fit(values, values, 0.98)
    assert all(np.isfinite(found.score(one)) and found.score(one) >= 0 for one in values)


def test_constant_features_give_finite_scores() -> None:
    found = OutOfDistributionLimit.fit(np.ones((9, 8), np.float32), np.ones((9, 8), np.float32), 0.98)
    assert np.isfinite(found.score(np.zeros(8, np.float32)))


@pytest.mark.parametrize(
    "changes",
    [
        {"mean": [1.0]},
        {"mean": "text"},
        {"mean": [[1.0] * 40]},
        {"scale": [0.0] * 40},
        {"scale": [-1.0] * 40},
        {"scale": [1e30] * 40},
        {"scale": None},
        {"basis": [[1.0] * 39]},
        {"basis": [[1e12] * 40]},
        {"basis": [[0.0] * 40] * 1000},
        {"limit": 0},
        {"limit": -1.0},
        {"limit": "high"},
        {"limit": 1e300},
    ],
)
def test_damaged_limits_are_refused(out_of_distribution: OutOfDistributionLimit, changes: dict[str, Any]) -> None:
    with pytest.raises(ModelFileError, match="out-of-distribution limits"):
        OutOfDistributionLimit.from_dict({**out_of_distribution.to_dict(), **changes})
    with pytest.raises(ModelFileError, match="cannot be read"):
        OutOfDistributionLimit.from_dict([])
