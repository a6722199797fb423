from pathlib import Path

import pytest
from PIL import Image

from osteolite.edge.errors import DatasetError
from osteolite.edge.labels import label_of_folder
from osteolite.train.data.layouts import read_dataset


def lay_out(root: Path, *files: str) -> Path:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(path)
    return root


@pytest.mark.parametrize(
    ("fractured", "normal"),
    [("Fracture", "Normal"), ("fractured", "not fractured"), ("positive", "negative"), ("1", "0")],
)
def test_class_folders_may_have_any_usual_name(tmp_path: Path, fractured: str, normal: str) -> None:
    found = read_dataset(lay_out(tmp_path, f"{fractured}/a.png", f"{normal}/deep/b.JPG", f"{normal}/c.jpeg"))
    assert found.layout == "classes"
    assert {(row.file, row.label, row.split) for row in found.rows} == {
        (f"{fractured}/a.png", 1, ""),
        (f"{normal}/deep/b.JPG", 0, ""),
        (f"{normal}/c.jpeg", 0, ""),
    }


def test_split_folders_give_the_splits(tmp_path: Path) -> None:
    files = [f"{split}/{name}/x.png" for split in ("train", "val", "test") for name in ("fractured", "normal")]
    found = read_dataset(lay_out(tmp_path, *files))
    assert found.layout == "parts"
    assert {(row.file.split("/")[0], row.split) for row in found.rows} == {
        ("train", "train"),
        ("val", "validation"),
        ("test", "test"),
    }


def test_other_files_in_the_folders_are_ignored(tmp_path: Path) -> None:
    lay_out(tmp_path, "fractured/a.png", "normal/b.png")
    (tmp_path / "normal" / "notes.txt").write_text("no image")
    assert len(read_dataset(tmp_path).rows) == 2


def test_an_unknown_layout_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"fracatlas.*mura.*parts.*classes.*manifest"):
        read_dataset(lay_out(tmp_path, "cats/a.png", "dogs/b.png"))


def test_one_class_alone_is_refused(tmp_path: Path) -> None:
    lay_out(tmp_path, "fractured/a.png")
    (tmp_path / "normal").mkdir()
    with pytest.raises(DatasetError, match="both classes"):
        read_dataset(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="neither a folder nor"):
        read_dataset(tmp_path / "nothing")


def test_a_file_that_is_not_csv_is_refused(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(DatasetError, match=r"neither a folder nor a \.csv file"):
        read_dataset(tmp_path / "a.png")


def test_hidden_files_are_ignored(tmp_path: Path) -> None:
    found = read_dataset(lay_out(tmp_path, "fractured/a.png", "normal/b.png", "normal/._b.png"))
    assert [row.file for row in found.rows] == ["fractured/a.png", "normal/b.png"]


def test_class_folders_take_precedence_over_a_manifest(tmp_path: Path) -> None:
    lay_out(tmp_path, "fractured/a.png", "normal/b.png")
    (tmp_path / "manifest.csv").write_text("file,label\nfractured/a.png,1\n")
    assert read_dataset(tmp_path).layout == "classes"


def test_other_folder_names_have_no_label() -> None:
    assert [label_of_folder(name) for name in ("images", "train", "fracatlas", "")] == [None] * 4
