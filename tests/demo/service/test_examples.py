"""The example images of the page."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from osteolite.demo.service import examples
from osteolite.demo.service.examples import MAX_EXAMPLES, example_files
from osteolite.edge.errors import UsageError

DRAWN = Path(examples.__file__).parent / "drawn"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


@pytest.fixture
def into(tmp_path: Path) -> Path:
    into = tmp_path / "into"
    into.mkdir()
    return into


@pytest.fixture
def png(encode: Callable[..., bytes]) -> bytes:
    return encode(Image.new("L", (40, 30), 90), "PNG")


def test_default_examples_are_drawn_and_named_so(into: Path) -> None:
    found = example_files(None, into)
    assert found == sorted(into.iterdir())
    assert any("fractured" in path.name for path in found)
    assert any("normal" in path.name for path in found)
    for path in found:
        assert path.name.startswith("drawn phantom")
        assert path.stat().st_size < 30_000


def test_drawn_examples_come_from_the_program_in_their_readme(tmp_path: Path) -> None:
    [program] = re.findall(r"^```python\n(.*?)^```$", (DRAWN / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    names = sorted(path.name for path in DRAWN.glob("*.png"))
    assert names == sorted(path.name for path in tmp_path.iterdir())
    for name in names:
        with Image.open(DRAWN / name) as shipped, Image.open(tmp_path / name) as drawn:
            np.testing.assert_array_equal(np.asarray(shipped), np.asarray(drawn))


def test_readable_images_of_a_folder_are_taken_by_name(folder: Path, into: Path, png: bytes) -> None:
    for name, content in {"b.png": png, "a": png, "c.png": b"no image", ".hidden.png": png, "d.png": png[:60]}.items():
        (folder / name).write_bytes(content)
    found = example_files(folder, into)
    assert [path.name for path in found] == ["a", "b.png"]
    assert all(path.parent == into and path.read_bytes() == png for path in found)


def test_number_of_examples_is_limited(folder: Path, into: Path, png: bytes) -> None:
    for number in range(MAX_EXAMPLES + 3):
        (folder / f"{number:02d}.png").write_bytes(png)
    assert [path.name for path in example_files(folder, into)] == [
        f"{number:02d}.png" for number in range(MAX_EXAMPLES)
    ]


def test_links_and_subfolders_are_ignored(folder: Path, into: Path, png: bytes, tmp_path: Path) -> None:
    (tmp_path / "private.png").write_bytes(png)
    (folder / "link.png").symlink_to(tmp_path / "private.png")
    (folder / "deeper").mkdir()
    (folder / "deeper" / "image.png").write_bytes(png)
    with pytest.raises(UsageError, match="no readable image"):
        example_files(folder, into)
    assert list(into.iterdir()) == []


def test_folder_without_images_is_an_error_in_one_line(folder: Path, into: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it is empty"):
        example_files(folder, into)
    (folder / "notes.txt").write_text("no image")
    with pytest.raises(UsageError, match=r"notes\.txt") as caught:
        example_files(folder, into)
    assert "\n" not in str(caught.value)
    for missing in (tmp_path / "missing", folder / "notes.txt"):
        with pytest.raises(UsageError, match="cannot be listed"):
            example_files(missing, into)
