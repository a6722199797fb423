from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteolite.edge.errors import DatasetError
from osteolite.train.data.catalogue import Catalogue, Row
from osteolite.train.data.splits import split_by_group


def catalogue(rows: list[Row]) -> Catalogue:
    return Catalogue(Path(), "classes", tuple(rows))


@st.composite
def grouped_rows(draw: st.DrawFn) -> list[Row]:
    """Draw 30 to 80 groups of 1 to 4 images, each with one label and body part."""
    rows = []
    for group in range(draw(st.integers(30, 80))):
        label = group % 2
        body_part = draw(st.sampled_from(["hand", "leg", ""]))
        rows += [Row(f"{group}-{i}", label, str(group), body_part) for i in range(draw(st.integers(1, 4)))]
    return rows


@settings(max_examples=30)
@given(rows=grouped_rows(), seed=st.integers(0, 1000))
def test_no_group_is_in_two_splits_and_no_image_is_lost(rows: list[Row], seed: int) -> None:
    result = split_by_group(catalogue(rows), 0.1, 0.2, seed)
    splits: dict[str, set[str]] = defaultdict(set)
    for row in result.rows:
        splits[row.group].add(row.split)
    assert all(len(found) == 1 for found in splits.values())
    assert [row.file for row in result.rows] == [row.file for row in rows]
    share = {split: len(result.in_split(split)) / len(rows) for split in ("train", "validation", "test")}
    assert 0.5 < share["train"] < 0.85
    assert 0.08 < share["test"] < 0.35
    assert result == split_by_group(catalogue(rows), 0.1, 0.2, seed)


@pytest.mark.slow
@settings(max_examples=30)
@given(rows=grouped_rows(), seed=st.integers(0, 1000))
def test_the_split_does_not_depend_on_file_names(rows: list[Row], seed: int) -> None:
    """A manifest may list a file twice; the same groups give the same split."""
    same = [replace(row, file="copy.png") for row in rows]
    splits = [row.split for row in split_by_group(catalogue(rows), 0.1, 0.2, seed).rows]
    assert [row.split for row in split_by_group(catalogue(same), 0.1, 0.2, seed).rows] == splits


def test_another_seed_gives_another_split() -> None:
    rows = [Row(str(i), i % 2, str(i)) for i in range(200)]
    assert split_by_group(catalogue(rows), 0.1, 0.2, 1) != split_by_group(catalogue(rows), 0.1, 0.2, 2)


def test_named_splits_are_kept_and_the_missing_one_is_taken_from_train() -> None:
    rows = [Row(f"t{i}", i % 2, f"t{i}", split="test") for i in range(20)]
    rows += [Row(f"r{i}", i % 2, f"r{i}", split="train") for i in range(100)]
    result = split_by_group(catalogue(rows), 0.1, 0.2, 0)
    assert {row.file for row in result.in_split("test")} == {f"t{i}" for i in range(20)}
    assert 8 <= len(result.in_split("validation")) <= 16
    assert all(row.file.startswith("r") for row in result.in_split("validation"))


def test_a_rare_body_part_can_be_split() -> None:
    rows = [Row(str(i), i % 2, str(i), "rare" if i == 0 else "leg") for i in range(100)]
    assert len(split_by_group(catalogue(rows), 0.1, 0.2, 0).rows) == 100


def test_a_very_large_group_stays_in_train() -> None:
    """A test split that is half one patient's images would say little, with a wide interval."""
    rows = [Row(str(i), i % 2, str(i)) for i in range(400)]
    rows += [Row(f"large{i}", 1, "large") for i in range(60)]
    for seed in range(5):
        result = split_by_group(catalogue(rows), 0.1, 0.2, seed)
        assert {row.split for row in result.rows if row.group == "large"} == {"train"}


def test_too_few_groups_are_refused() -> None:
    rows = [Row(str(i), i % 2, str(i % 4)) for i in range(100)]
    with pytest.raises(DatasetError, match="groups of fractured"):
        split_by_group(catalogue(rows), 0.1, 0.2, 0)
