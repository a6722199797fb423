"""Progressive JPEG files without their refinement scans."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from osteolite.edge.imaging.jpeg import without_refinements


def picture(mode: str = "L") -> Image.Image:
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize((320, 240))
    noisy = np.asarray(coarse, np.int16) + random.integers(-9, 10, (240, 320, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert(mode)


@pytest.fixture(scope="module", params=["L", "RGB"])
def progressive(request: pytest.FixtureRequest, encode: Any) -> bytes:
    content: bytes = encode(picture(request.param), "JPEG", quality=92, progressive=True)
    return content


def decoded(content: bytes, scale: int = 1) -> np.ndarray[Any, Any]:
    image = Image.open(io.BytesIO(content))
    image.draft("L", (image.width // scale, image.height // scale))
    return np.asarray(image.convert("L")).astype(float)


def test_a_smaller_file_gives_almost_the_same_reduced_picture(progressive: bytes) -> None:
    lighter = without_refinements(progressive)
    assert len(lighter) < 0.75 * len(progressive)
    assert np.abs(decoded(lighter, 4) - decoded(progressive, 4)).mean() < 1
    assert abs(decoded(lighter, 4).mean() - decoded(progressive, 4).mean()) < 0.2  # neither darker nor brighter


def test_a_baseline_file_is_unchanged(encode: Any) -> None:
    content = encode(picture(), "JPEG")
    assert without_refinements(content) == content


@given(st.data())
def test_damaged_files_never_raise(progressive: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(progressive)))
    flips = data.draw(st.lists(st.tuples(st.integers(0, len(progressive) - 1), st.integers(0, 255)), max_size=8))
    damaged = bytearray(progressive)
    for place, value in flips:
        damaged[place] = value
    without_refinements(bytes(damaged[:cut]))


def test_a_truncated_file_is_unchanged(progressive: bytes) -> None:
    half = progressive[: len(progressive) // 2]
    assert without_refinements(half) == half


def test_radiographs_lose_most_of_their_bytes(shared_data: Path) -> None:
    files = sorted((shared_data / "fracatlas" / "fullres").glob("*/*.jpg"))
    progressive = [path for path in files if without_refinements(path.read_bytes()) != path.read_bytes()]
    assert len(progressive) >= 9
    for path in progressive:
        content = path.read_bytes()
        lighter = without_refinements(content)
        assert len(lighter) < 0.5 * len(content)
        assert np.abs(decoded(lighter, 4) - decoded(content, 4)).mean() < 0.5
