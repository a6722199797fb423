from pathlib import Path

import pytest

from osteolite.edge.errors import DatasetError
from osteolite.train.data.catalogue import Catalogue, Row, read_catalogue, write_catalogue


def test_a_written_catalogue_reads_the_same(tmp_path: Path) -> None:
    rows = (Row('a "quoted", name\n.png', 1, "g", "hand", "train"), Row("b.png", 0, "h"))
    catalogue = Catalogue(Path(), "classes", rows)
    write_catalogue(catalogue, tmp_path / "catalogue.csv")
    assert read_catalogue(tmp_path / "catalogue.csv", Path(), "classes") == catalogue


def test_another_csv_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match="is not a catalogue"):
        read_catalogue(tmp_path / "x.csv", tmp_path, "classes")


def test_the_split_is_in_the_column_part(tmp_path: Path) -> None:
    write_catalogue(Catalogue(Path(), "classes", (Row("a.png", 1, split="test"),)), tmp_path / "catalogue.csv")
    header, line = (tmp_path / "catalogue.csv").read_text().splitlines()
    assert dict(zip(header.split(","), line.split(","), strict=True))["part"] == "test"
