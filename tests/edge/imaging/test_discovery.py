"""Which files of a folder are images."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from osteolite.edge.errors import UsageError
from osteolite.edge.imaging.discovery import image_files, is_image_file
from osteolite.edge.imaging.radiograph import SUFFIXES

DICOM = bytes(128) + b"DICM" + b"\x02\0\0\0UL"


def listed(folder: Path) -> list[str]:
    return [os.path.relpath(path, folder) for path in image_files([str(folder)])]


def test_files_are_listed_as_given(tmp_path: Path) -> None:
    (tmp_path / "b.png").touch()
    assert image_files(["missing.png", str(tmp_path), "notes.txt"]) == [
        "missing.png",
        str(tmp_path / "b.png"),
        "notes.txt",
    ]


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_files_with_a_known_suffix_are_listed_unread(suffix: str, tmp_path: Path) -> None:
    for name in (f"a{suffix}", f"B{suffix.upper()}"):
        (tmp_path / name).touch()
    assert listed(tmp_path) == [f"B{suffix.upper()}", f"a{suffix}"]


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_other_files_are_recognised_by_their_first_bytes(
    image_format: str, encode: Callable[..., bytes], tmp_path: Path
) -> None:
    (tmp_path / "scan").write_bytes(encode(Image.new("L", (9, 9)), image_format))
    (tmp_path / "scan.dat").write_bytes(encode(Image.new("RGB", (9, 9)), image_format))
    (tmp_path / "big.dat").write_bytes(encode(Image.new("I;16B", (9, 9)), "TIFF"))
    assert listed(tmp_path) == ["big.dat", "scan", "scan.dat"]


@pytest.mark.parametrize("content", [DICOM, b"\x08\0\x05\0CS\n\0ISO_IR 100"], ids=["preamble", "none"])
@pytest.mark.parametrize("name", ["IM000001", "1.2.840.113619", "scan.img"])
def test_dicom_files_are_recognised_under_any_name(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert listed(tmp_path) == [name]


@pytest.mark.parametrize(
    "content",
    [b"", b"BMI: 22, of a patient aged 40", b"RIFF....WAVE", b"\x89PNG", b"\xff\xd8", b"%PDF-1.4", bytes(200)],
    ids=repr,
)
def test_other_content_is_not_an_image(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(content)
    assert not is_image_file(tmp_path / "notes")
    with pytest.raises(UsageError, match=r"holds no image; looked for .*\.dcm"):
        image_files([str(tmp_path)])


def test_folders_are_listed_in_order(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.png", "a/x/3.png", "c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert listed(tmp_path) == ["a/x/3.png", "b/1.png", "b/2.png", "c.png"]


def test_hidden_and_temporary_files_are_left_out(tmp_path: Path) -> None:
    for name in ("a.png", ".a.png", "._a.png", ".thumbnails/a.png", ".a.png.k2x.part", "a.png.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(DICOM)
    assert listed(tmp_path) == ["a.png"]
    assert [path.name for path in tmp_path.iterdir() if is_image_file(path)] == ["a.png"]


def test_a_hidden_folder_that_is_given_is_listed(tmp_path: Path) -> None:
    (tmp_path / ".scans").mkdir()
    (tmp_path / ".scans" / "a.png").touch()
    assert listed(tmp_path / ".scans") == ["a.png"]


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, inside / "below", outside, tmp_path / "inside2"):
        folder.mkdir()
        (folder / "a.png").write_bytes(DICOM)
    (inside / "file.png").symlink_to(outside / "a.png")
    (inside / "nosuffix").symlink_to(outside / "a.png")
    (inside / "relative.png").symlink_to("../inside2/a.png")
    (inside / "folder").symlink_to(outside)
    (inside / "broken.png").symlink_to(inside / "missing.png")
    (inside / "again.png").symlink_to("below/a.png")
    (inside / "loop").symlink_to(inside)
    assert listed(inside) == ["a.png", "again.png", "below/a.png"]
    (tmp_path / "link").symlink_to(inside)  # the given folder may be a link
    assert listed(tmp_path / "link") == ["a.png", "again.png", "below/a.png"]


@pytest.mark.timeout(30)
def test_only_regular_files_are_images(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")  # opening it would block
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "folder.png", "missing.png", "a\0b.png", "a" * 5000):
        assert not is_image_file(tmp_path / name)
