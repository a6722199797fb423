from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.edge.errors import DatasetError
from osteolite.train.data.catalogue import Row
from osteolite.train.data.layouts import read_dataset
from osteolite.train.data.manifest import read_manifest


def manifest(folder: Path, *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "manifest.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_every_known_column_is_read_and_others_are_ignored(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        "colour,file,label,split,group,body_part,view,hardware,study",
        "red,a.png,1,train,p1,Hand,Lateral,yes,s1",
        "blue,deep/b.png,0,val,p2,leg,,0,s2",
    )
    assert read_dataset(path).rows == (
        Row("a.png", 1, "p1", "hand", "train", "s1", "lateral", "yes"),
        Row("deep/b.png", 0, "p2", "leg", "validation", "s2", "", "no"),
    )
    assert read_dataset(path).layout == "manifest"
    assert read_dataset(tmp_path) == read_dataset(path)


def test_classes_may_be_names_and_a_row_without_a_group_is_its_own_group(tmp_path: Path) -> None:
    path = manifest(tmp_path, "file,class,study", "a.png,Fractured,", "b.png,not fractured,s", "c.png,normal,s")
    assert [(row.label, row.group, row.split) for row in read_manifest(path).rows] == [
        (1, "a.png", ""),
        (0, "s", ""),
        (0, "s", ""),
    ]


def test_a_file_listed_twice_is_two_rows_of_one_group(tmp_path: Path) -> None:
    path = manifest(tmp_path, "file,label,part", "a.png,1,train", "b.png,0,train", "a.png,1,test")
    first, _, again = read_manifest(path).rows
    assert (first.file, first.group) == (again.file, again.group) == ("a.png", "a.png")
    assert (first.split, again.split) == ("train", "test")


def test_a_byte_order_mark_and_quoted_names_are_read(tmp_path: Path) -> None:
    path = manifest(tmp_path, "\ufefffile,label", '"a, b ""c"".png",1', " d.png,0")
    assert [row.file for row in read_manifest(path).rows] == ['a, b "c".png', " d.png"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/etc/passwd,1,,", r"line 3: file is '/etc/passwd'"),
        ("../a.png,1,,", r"line 3: file"),
        ("deep/../../a.png,1,,", r"line 3: file"),
        ("C:\\a.png,1,,", r"line 3: file"),
        ("..\\a.png,1,,", r"line 3: file"),
        (",1,,", r"line 3: file"),
        ("b.png,2,,", r"line 3: label is '2'; use 0, 1"),
        ("b.png", r"line 3: label is ''"),
        ("b.png,1,holdout,", r"line 3: split is 'holdout'; use train"),
        ("b.png,1,,maybe", r"line 3: hardware is 'maybe'; use yes, no"),
    ],
)
def test_a_wrong_line_is_refused_by_number(tmp_path: Path, line: str, message: str) -> None:
    path = manifest(tmp_path, "file,label,split,hardware", "a.png,0,train,no", line)
    with pytest.raises(DatasetError, match=message):
        read_manifest(path)


@pytest.mark.parametrize("header", ["name,label", "file,fracture", "file;label", ""])
def test_missing_columns_are_named(tmp_path: Path, header: str) -> None:
    with pytest.raises(DatasetError, match=r"needs the columns file and label \(or class\)"):
        read_manifest(manifest(tmp_path, header, "a.png,1"))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"file,label\n\xff\xfe.png,1\n")
    with pytest.raises(DatasetError, match="cannot be read as CSV"):
        read_dataset(path)


def test_the_root_column_gives_the_folder_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for root in ("../images", str(tmp_path / "images")):
        path = manifest(tmp_path / "lists", "file,label,root", f"a.png,1,{root}", f"b.png,0,{root}")
        found = read_dataset(path)
        assert found.path(found.rows[0]).resolve() == tmp_path / "images" / "a.png"


@pytest.mark.parametrize(
    ("roots", "message"), [((".", ".."), "line 3: root differs"), (("gone", "gone"), "the root gone is not a folder")]
)
def test_a_wrong_root_is_refused(tmp_path: Path, roots: tuple[str, str], message: str) -> None:
    path = manifest(tmp_path, "file,label,root", f"a.png,1,{roots[0]}", f"b.png,0,{roots[1]}")
    with pytest.raises(DatasetError, match=message):
        read_manifest(path)


@given(name=st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20))
def test_no_listed_file_is_outside_the_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("data")
    quoted = name.replace('"', '""')
    path = manifest(folder, "file,label", f'"{quoted}",1')
    try:
        (row,) = read_manifest(path).rows
    except DatasetError as error:
        assert "line 2" in str(error)
    else:
        assert (folder / row.file).resolve().is_relative_to(folder.resolve())


def test_the_manifest_of_a_published_data_set_is_read(shared_data: Path) -> None:
    found = read_dataset(shared_data / "kaggle_multiregion")
    assert found.layout == "manifest"
    assert {split: len(found.in_split(split)) for split in ("train", "validation", "test")} == {
        "train": 9246,
        "validation": 828,
        "test": 506,
    }
    assert all(found.path(row).is_file() for row in found.rows)
