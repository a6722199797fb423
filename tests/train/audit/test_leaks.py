from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteolite.edge.errors import AuditRefusal
from osteolite.train.audit.duplicates import Duplicates, merge_groups
from osteolite.train.audit.leaks import Leak, conflicting_groups, find_leaks, refuse_leaks
from osteolite.train.data.catalogue import SPLITS, Catalogue, Row
from osteolite.train.data.splits import split_by_group


@st.composite
def images(draw: st.DrawFn) -> tuple[list[Row], list[int], set[frozenset[int]]]:
    """Draw rows with splits, the content of each, and pairs of contents that are near-duplicates."""
    count = draw(st.integers(1, 40))
    contents = draw(st.lists(st.integers(0, 15), min_size=count, max_size=count))
    rows = [
        Row(f"{i}.png", draw(st.integers(0, 1)), f"{i}.png", split=draw(st.sampled_from(SPLITS))) for i in range(count)
    ]
    near = draw(st.sets(st.sampled_from([frozenset(pair) for pair in combinations(range(16), 2)]), max_size=8))
    return rows, contents, near


def duplicates_of(contents: list[int], near: set[frozenset[int]]) -> Duplicates:
    first = [contents.index(content) for content in contents]
    pairs = sorted(tuple(sorted(contents.index(c) for c in pair)) for pair in near if pair <= set(contents))
    return Duplicates(tuple((j, i) for i, j in enumerate(first) if i != j), tuple((i, j) for i, j in pairs))


@given(images())
def test_leaks_equal_a_plain_count(drawn: tuple[list[Row], list[int], set[frozenset[int]]]) -> None:
    rows, contents, near = drawn
    found = find_leaks(Catalogue(Path(), "", tuple(rows)), duplicates_of(contents, near))
    trained = {c for c, row in zip(contents, rows, strict=True) if row.split == "train"}
    kin = trained | {c for pair in near for c in pair if pair & trained and c in contents}
    for name, split in (("test", "test"), ("val", "validation")):
        held = [c for c, row in zip(contents, rows, strict=True) if row.split == split]
        leak = found[name]
        assert leak == Leak(len(held), sum(c in trained for c in held), sum(c in kin for c in held))
        if held:
            assert leak.to_dict()["identical_share"] == leak.identical / len(held)
            assert 0 <= leak.identical_share <= leak.near_duplicate_share <= 1


@given(images())
def test_sets_of_duplicates_with_both_labels_are_found(
    drawn: tuple[list[Row], list[int], set[frozenset[int]]],
) -> None:
    rows, contents, near = drawn
    catalogue, duplicates = Catalogue(Path(), "", tuple(rows)), duplicates_of(contents, near)
    merged = merge_groups(catalogue, duplicates.pairs()).rows
    labels: dict[str, set[int]] = {}
    for row in merged:
        labels.setdefault(row.group, set()).add(row.label)
    found = conflicting_groups(catalogue, duplicates)
    assert {merged[group[0]].group for group in found} == {group for group, both in labels.items() if len(both) == 2}
    assert sum(map(len, found)) == sum(len(labels[row.group]) == 2 for row in merged)


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), planted=st.integers(0, 60))
def test_a_split_of_merged_groups_never_leaks(seed: int, planted: int) -> None:
    random = np.random.default_rng(seed)
    rows = [Row(str(i), int(random.integers(2)), str(i)) for i in range(200)]
    pairs = sorted({tuple(sorted(random.choice(200, 2, replace=False).tolist())) for _ in range(planted)})
    duplicates = Duplicates((), tuple((i, j) for i, j in pairs))
    merged = merge_groups(Catalogue(Path(), "", tuple(rows)), duplicates.pairs())
    leaks = find_leaks(split_by_group(merged, 0.1, 0.2, seed), duplicates)
    assert [leak.near_duplicate for leak in leaks.values()] == [0, 0]
    assert min(leak.images for leak in leaks.values()) > 0


def test_more_than_one_percent_of_a_split_is_refused() -> None:
    refuse_leaks({"test": Leak(200, 0, 2), "val": Leak(0, 0, 0)}, Path("data"))
    with pytest.raises(AuditRefusal, match=r"3\.0 % of its test images .*1\.0 % byte.*--repair.*--allow-leaks") as one:
        refuse_leaks({"test": Leak(100, 1, 3), "val": Leak(100, 0, 0)}, Path("data"))
    assert "validation" not in str(one.value)
    assert one.value.exit_code == 3
    with pytest.raises(AuditRefusal, match=r"2\.0 % of its validation images"):
        refuse_leaks({"test": Leak(100, 0, 0), "val": Leak(100, 0, 2)}, Path("data"))
