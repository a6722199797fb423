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


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no folder"):
        read_dataset(tmp_path / "nothing")


def test_a_file_that_is_no_list_is_refused(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(DatasetError, match=r"no folder and no \.csv file"):
        read_dataset(tmp_path / "a.png")


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    found = read_dataset(lay_out(tmp_path, "fractured/a.png", "normal/b.png", "normal/._b.png"))
    assert [row.file for row in found.rows] == ["fractured/a.png", "normal/b.png"]


def test_folders_are_better_than_a_manifest_in_them(tmp_path: Path) -> None:
    lay_out(tmp_path, "fractured/a.png", "normal/b.png")
    (tmp_path / "manifest.csv").write_text("file,label\nfractured/a.png,1\n")
    assert read_dataset(tmp_path).layout == "classes"


def test_names_that_stand_for_no_class() -> None:
    assert [label_of_folder(name) for name in ("images", "train", "fracatlas", "")] == [None] * 4


def test_fracatlas(shared_data: Path) -> None:
    found = read_dataset(shared_data / "fracatlas")
    assert found.layout == "fracatlas"
    assert len(found.rows) == 3274
    assert sum(row.label for row in found.rows) == 599
    assert {"hand", "leg", "leg+hip", "shoulder"} <= {row.body_part for row in found.rows}
    assert {"frontal", "lateral", "oblique", "frontal+lateral"} <= {row.view for row in found.rows}
    implants = [row.label for row in found.rows if row.hardware == "yes"]
    assert (sum(implants), len(implants)) == (81, 83)
    assert {row.hardware for row in found.rows} == {"yes", "no"}


def test_fracatlas_with_another_table_is_refused(tmp_path: Path) -> None:
    lay_out(tmp_path, "images/Fractured/IMG1.jpg", "images/Non_fractured/IMG2.jpg")
    (tmp_path / "dataset.csv").write_text("image_id,hand,leg,hip,shoulder,hardware,frontal,lateral\n")
    with pytest.raises(DatasetError, match="no column oblique"):
        read_dataset(tmp_path)


def test_fracatlas_neighbours_are_one_group(shared_data: Path) -> None:
    """IMG0000013 and 14, IMG0002036 and 37 are views of one patient."""
    group = {row.file[-14:-4]: row.group for row in read_dataset(shared_data / "fracatlas").rows}
    for first, second in ((13, 14), (2036, 2037)):
        assert group[f"IMG{first:07d}"] == group[f"IMG{second:07d}"]
    assert len(set(group.values())) > 100
