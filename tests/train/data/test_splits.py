from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteolite.edge.errors import DatasetError
from osteolite.train.data.catalogue import Catalogue, Row, read_catalogue, write_catalogue
from osteolite.train.data.phantoms import write_phantoms
from osteolite.train.data.splits import split_by_group
from osteolite.train.workflows.job import claim, open_job
from osteolite.train.workflows.prepare import prepare


def catalogue(rows: list[Row]) -> Catalogue:
    return Catalogue(Path(), "classes", tuple(rows))


@st.composite
def grouped_rows(draw: st.DrawFn) -> list[Row]:
    """30 to 80 groups of 1 to 4 images, each of one label and body part."""
    rows = []
    for group in range(draw(st.integers(30, 80))):
        label = group % 2
        part = draw(st.sampled_from(["hand", "leg", ""]))
        rows += [Row(f"{group}-{i}", label, str(group), part) for i in range(draw(st.integers(1, 4)))]
    return rows


@settings(max_examples=30)
@given(rows=grouped_rows(), seed=st.integers(0, 1000))
def test_no_group_stands_in_two_parts_and_no_image_is_lost(rows: list[Row], seed: int) -> None:
    result = split_by_group(catalogue(rows), 0.1, 0.2, seed)
    parts = defaultdict(set)
    for row in result.rows:
        parts[row.group].add(row.split)
    assert all(len(found) == 1 for found in parts.values())
    assert [row.file for row in result.rows] == [row.file for row in rows]
    share = {part: len(result.in_split(part)) / len(rows) for part in ("train", "validation", "test")}
    assert 0.5 < share["train"] < 0.85
    assert 0.08 < share["test"] < 0.35
    assert result == split_by_group(catalogue(rows), 0.1, 0.2, seed)


@settings(max_examples=30)
@given(rows=grouped_rows(), seed=st.integers(0, 1000))
def test_rows_are_told_apart_by_their_place_not_by_their_file(rows: list[Row], seed: int) -> None:
    """A manifest may name one file twice; as long as the groups are the same, so is the split."""
    same = [replace(row, file="copy.png") for row in rows]
    parts = [row.split for row in split_by_group(catalogue(rows), 0.1, 0.2, seed).rows]
    assert [row.split for row in split_by_group(catalogue(same), 0.1, 0.2, seed).rows] == parts


def test_another_seed_gives_another_split() -> None:
    rows = [Row(str(i), i % 2, str(i)) for i in range(200)]
    assert split_by_group(catalogue(rows), 0.1, 0.2, 1) != split_by_group(catalogue(rows), 0.1, 0.2, 2)


def test_parts_that_the_data_names_are_kept_and_the_missing_one_is_taken_from_train() -> None:
    rows = [Row(f"t{i}", i % 2, f"t{i}", split="test") for i in range(20)]
    rows += [Row(f"r{i}", i % 2, f"r{i}", split="train") for i in range(100)]
    result = split_by_group(catalogue(rows), 0.1, 0.2, 0)
    assert {row.file for row in result.in_split("test")} == {f"t{i}" for i in range(20)}
    assert 8 <= len(result.in_split("validation")) <= 16
    assert all(row.file.startswith("r") for row in result.in_split("validation"))


def test_a_rare_body_part_is_no_obstacle() -> None:
    rows = [Row(str(i), i % 2, str(i), "rare" if i == 0 else "leg") for i in range(100)]
    assert len(split_by_group(catalogue(rows), 0.1, 0.2, 0).rows) == 100


def test_a_very_large_group_stays_in_train() -> None:
    """A test part of which half is one patient's images would say little, and its interval would be wide."""
    rows = [Row(str(i), i % 2, str(i)) for i in range(400)]
    rows += [Row(f"large{i}", 1, "large") for i in range(60)]
    for seed in range(5):
        result = split_by_group(catalogue(rows), 0.1, 0.2, seed)
        assert {row.split for row in result.rows if row.group == "large"} == {"train"}


def test_too_few_groups_are_refused() -> None:
    rows = [Row(str(i), i % 2, str(i % 4)) for i in range(100)]
    with pytest.raises(DatasetError, match="groups of fractured"):
        split_by_group(catalogue(rows), 0.1, 0.2, 0)


def test_catalogue_comes_back_from_its_file(tmp_path: Path) -> None:
    rows = [Row('a "quoted", name\n.png', 1, "g", "hand", "train"), Row("b.png", 0, "h")]
    write_catalogue(catalogue(rows), tmp_path / "catalogue.csv")
    assert read_catalogue(tmp_path / "catalogue.csv", Path(), "classes") == catalogue(rows)


def test_a_file_that_is_no_catalogue_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match="no catalogue"):
        read_catalogue(tmp_path / "x.csv", tmp_path, "classes")


def test_runs_of_several_seeds_may_share_their_parts(tmp_path: Path) -> None:
    data = write_phantoms(tmp_path / "data", 60, 1)

    def files(seed: int, split_seed: int) -> set[str]:
        recipe = tmp_path / f"split{split_seed}.toml"
        recipe.write_text(f'extends = "phantoms"\n[data]\nsplit_seed = {split_seed}\n')
        job = open_job(data, str(recipe), tmp_path / f"run{seed}{split_seed}", None, seed, False)
        return {row.file for row in prepare(job, claim(job, None), None).catalogue.in_split("test")}

    assert files(1, 5) == files(2, 5) == files(5, 0)
    assert files(1, 0) != files(2, 0)
