import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteolite.train.metrics.bootstrap import bootstrap_indices, bootstrap_weights, percentile_interval


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 12), st.integers(2, 40))
def test_a_draw_has_whole_groups_and_as_many_as_the_data(seed: int, groups: int, images: int) -> None:
    random = np.random.default_rng(seed)
    member = random.integers(0, groups, images)
    labels = random.integers(0, 2, images)
    drawn = bootstrap_weights(member, labels, seed, 20)
    present = np.unique(member)
    of_group = np.stack([drawn[:, member == group][:, 0] for group in present], axis=1)
    for column, group in enumerate(present):
        assert (drawn[:, member == group] == of_group[:, [column]]).all()
    assert (of_group.sum(axis=1) == len(present)).all()


def test_every_draw_has_all_classes_of_the_data() -> None:
    labels = np.array([1] + [0] * 9)
    drawn = bootstrap_weights(np.arange(10), labels, 0, 200)
    assert (drawn[:, 0] >= 1).all()
    assert bootstrap_weights(np.arange(10), np.zeros(10, int), 0, 5).shape == (5, 10)


def test_indices_and_weights_describe_the_same_draws() -> None:
    groups, labels = np.array(["b", "a", "b", "c"]), np.array([0, 1, 1, 0])
    for indices, weights in zip(
        bootstrap_indices(groups, labels, 3, 10), bootstrap_weights(groups, labels, 3, 10), strict=True
    ):
        assert np.bincount(indices, minlength=4).tolist() == weights.tolist()


def test_draws_depend_on_the_seed_alone() -> None:
    groups, labels = np.arange(30), np.arange(30) % 2
    assert (bootstrap_weights(groups, labels, 1, 5) == bootstrap_weights(groups, labels, 1, 5)).all()
    assert (bootstrap_weights(groups, labels, 1, 5) != bootstrap_weights(groups, labels, 2, 5)).any()


def test_interval_leaves_out_a_fortieth_on_each_side() -> None:
    assert percentile_interval(np.arange(1001.0)) == pytest.approx((25.0, 975.0))
