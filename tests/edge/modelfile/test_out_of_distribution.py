import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.edge.errors import ModelFileError
from osteolite.edge.modelfile.out_of_distribution import OutOfDistributionLimit


def known(images: int, seed: int = 0) -> np.ndarray:
    """Features that vary in three directions of forty, and a little in all."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(3, 40))
    return (5 + random.normal(size=(images, 3)) @ directions + 0.1 * random.normal(size=(images, 40))).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def out_of_distribution() -> OutOfDistributionLimit:
    return OutOfDistributionLimit.of(known(400), known(3000, seed=1), 0.98)


def test_as_many_known_images_as_asked_for_lie_within_the_limit(out_of_distribution: OutOfDistributionLimit) -> None:
    scores = np.array([out_of_distribution.score(one) for one in known(2000, seed=2)])
    assert np.mean(scores > out_of_distribution.limit) == pytest.approx(0.02, abs=0.015)


def test_what_varies_in_other_directions_is_beyond_it(out_of_distribution: OutOfDistributionLimit) -> None:
    strange = known(200, seed=3) + 2 * np.random.default_rng(4).normal(size=(200, 40))
    assert all(out_of_distribution.score(one) > 3 * out_of_distribution.limit for one in strange.astype(np.float32))


def test_it_is_the_same_after_a_file(out_of_distribution: OutOfDistributionLimit) -> None:
    again = OutOfDistributionLimit.from_dict(json.loads(json.dumps(out_of_distribution.to_dict())))
    for one in known(20, seed=5):
        assert again.score(one) == out_of_distribution.score(one)
    assert again.limit == out_of_distribution.limit


@given(st.integers(2, 30), st.integers(1, 60), st.integers(0, 9))
def test_few_images_and_few_features_give_finite_scores(images: int, features: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(images, features)).astype(np.float32)
    found = OutOfDistributionLimit.of(values, values, 0.98)
    assert all(np.isfinite(found.score(one)) and found.score(one) >= 0 for one in values)


def test_features_that_never_vary_do_not_divide_by_zero() -> None:
    found = OutOfDistributionLimit.of(np.ones((9, 8), np.float32), np.ones((9, 8), np.float32), 0.98)
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
