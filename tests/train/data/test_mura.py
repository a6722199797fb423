from pathlib import Path

import pytest
from PIL import Image

from osteolite.edge.errors import DatasetError
from osteolite.train.data.catalogue import Row
from osteolite.train.data.layouts import read_dataset
from osteolite.train.data.splits import split_by_group

FILES = (
    "train/XR_ELBOW/patient00001/study1_positive/image1.png",
    "train/XR_ELBOW/patient00001/study1_positive/image2.png",
    "train/XR_HUMERUS/patient00001/study1_negative/image1.png",
    "train/XR_HUMERUS/patient00002/study1_negative/image1.png",
    "valid/XR_HUMERUS/patient11185/study1_positive/image1.png",
)


@pytest.fixture
def mura(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "MURA-v1.1", *FILES)


def lay_out(base: Path, *files: str) -> Path:
    for file in files:
        (base / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(base / file)
    return base


def test_folders_give_splits_studies_patients_and_body_parts(mura: Path) -> None:
    (mura / "train" / "XR_ELBOW" / "patient00001" / "study1_positive" / "._image1.png").write_bytes(b"no image")
    found = read_dataset(mura)
    assert found.layout == "mura"
    assert found.rows[2] == Row(
        FILES[2], 0, "patient00001", "humerus", "train", "train/XR_HUMERUS/patient00001/study1_negative"
    )
    assert [row.file for row in found.rows] == list(FILES)
    assert [row.label for row in found.rows] == [1, 1, 0, 0, 1]
    assert [row.split for row in found.rows] == ["train"] * 4 + ["test"]
    assert len({row.study for row in found.rows}) == 4
    assert len({row.group for row in found.rows}) == 3


def test_the_parent_folder_reads_the_same(mura: Path) -> None:
    assert read_dataset(mura.parent) == read_dataset(mura)


def test_lists_take_precedence_over_folders(mura: Path) -> None:
    listed = "".join(f"MURA-v1.1/{file}\n" for file in FILES[1:4])
    (mura / "train_image_paths.csv").write_text(listed)
    study = "MURA-v1.1/train/XR_HUMERUS/patient00002/study1_negative/"
    (mura / "train_labeled_studies.csv").write_text(f"{study},1\n")
    found = read_dataset(mura)
    assert [row.file for row in found.rows] == list(FILES[1:])
    assert [row.label for row in found.rows] == [1, 0, 1, 1]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train_image_paths.csv", "MURA-v1.1/train/x.png\n", "train_image_paths.csv, line 1"),
        ("train_image_paths.csv", f"{FILES[0]}\ntrain/../../../etc/passwd\n", "line 2"),
        (
            "valid_labeled_studies.csv",
            "valid/XR_HUMERUS/patient11185/study1_positive/,2\n",
            "line 1: it must hold a study and",
        ),
        (
            "valid_labeled_studies.csv",
            "valid/XR_HUMERUS/patient11185/study1_positive/\n",
            "line 1: it must hold a study and",
        ),
    ],
)
def test_a_wrong_line_of_a_list_is_refused_by_number(mura: Path, name: str, text: str, message: str) -> None:
    (mura / name).write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_dataset(mura)


def test_a_study_without_a_label_is_refused(mura: Path) -> None:
    lay_out(mura, "train/XR_HAND/patient00009/study1/image1.png")
    with pytest.raises(DatasetError, match=r"XR_HAND/patient00009/study1 is neither listed"):
        read_dataset(mura)


def test_validation_is_split_from_train_by_patient(tmp_path: Path) -> None:
    files = [
        f"train/XR_{part}/patient{n:05d}/study1_{label}/image1.png"
        for n in range(60)
        for part, label in (
            ("HAND", "positive" if n % 2 else "negative"),
            ("WRIST", "negative" if n % 2 else "positive"),
        )
    ]
    valid = [f"valid/XR_HAND/patient1118{n}/study1_{('positive', 'negative')[n % 2]}/image1.png" for n in range(4)]
    found = split_by_group(read_dataset(lay_out(tmp_path, *files, *valid)), 0.1, 0.2, 1)
    groups = {split: {row.group for row in found.in_split(split)} for split in ("train", "validation", "test")}
    assert groups["test"] == {f"patient1118{n}" for n in range(4)}
    assert len(groups["validation"]) >= 4
    assert not groups["train"] & groups["validation"]
