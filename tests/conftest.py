"""Fixtures: the shared data, and model files so small that a test can compute their outputs by hand."""

import io
import itertools
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from hypothesis import settings
from PIL import Image

from osteolite.edge.modelfile.archive import write_model

from .tiny_models import TinyModels, mean_flatbuffer, mean_int8_flatbuffer, tiny_description

if TYPE_CHECKING:
    from playwright.sync_api import Browser

settings.register_profile("osteolite", deadline=None)  # the machine may be busy
settings.load_profile("osteolite")


def encode_image(image: Image.Image, image_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def hollow_png_file(width: int, height: int) -> bytes:
    """A PNG of valid chunks that declares width x height pixels and contains only a hundred bytes of them."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    return encode_image


@pytest.fixture(scope="session")
def hollow_png() -> Callable[[int, int], bytes]:
    return hollow_png_file


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real radiographs and damaged files, which is not part of the repository."""
    folder = Path(os.environ.get("OSTEOLITE_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"needs the test data; {folder} is not a folder, set OSTEOLITE_DATA to another one")
    return folder


@pytest.fixture(scope="session")
def tiny() -> type[TinyModels]:
    return TinyModels


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float32 model file: probability = sigmoid(1.5 * (4 * mean + 0.5) - 0.25)."""
    path = tmp_path_factory.mktemp("models") / "tiny_float32.tflite"
    write_model(path, mean_flatbuffer(), tiny_description())
    return path


@pytest.fixture(scope="session")
def tiny_int8_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model in int8, with int8 input and output."""
    path = tmp_path_factory.mktemp("models") / "tiny_int8.tflite"
    write_model(path, mean_int8_flatbuffer(), tiny_description(name="tiny_int8", variant="int8"))
    return path


@pytest.fixture(scope="session")
def tiny_router(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A router that finds hand and leg equally likely in every image, chooses the hand, and runs the tiny model."""
    path = tmp_path_factory.mktemp("models") / "tiny_router.tflite"
    described = {"kind": "router", "labels": ["hand", "leg"], "probability_calibration": {"temperature": 1.0}}
    stages = dict.fromkeys(("hand", "leg"), tiny_model.read_bytes())
    write_model(path, mean_flatbuffer(outputs=2), tiny_description(name="tiny_router", **described), stages)
    return path


@pytest.fixture
def save_model(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a flatbuffer and the tiny description, with changes, as a new model file."""
    numbers = itertools.count()

    def save(flatbuffer: bytes, **changes: Any) -> Path:
        path = tmp_path / f"model{next(numbers)}.tflite"
        write_model(path, flatbuffer, tiny_description(**changes))
        return path

    return save


# A test with one of these fixtures needs training, a browser, a server, an emulated board or a phone.
SLOW_FIXTURES = {
    *("phantom_run", "chromium", "page_server"),
    *("server", "run_demo", "serve_phone", "host"),
    *("sshd", "board", "connect", "pi", "pi32", "project"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the file that makes the slowest fixture first and those that only use it last, so that no process waits."""
    for item in items:
        if SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    users = {item.path for item in items if "phantom_run" in getattr(item, "fixturenames", ())}
    makers = {item.path for item in items if "files" in getattr(item, "fixturenames", ())}
    first = min(makers & users, default=None, key=lambda path: path.name != "test_variants.py")
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    # Long files before short ones, so that both processes end at about the same time.
    items.sort(key=lambda item: (item.path != first, item.path in users, -slow[item.path] * (item.path in users)))
    for item in items:
        if item.path in users:  # the first of them makes the run, and the others wait for it
            item.add_marker(pytest.mark.timeout(3000))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """A function that makes a folder once for all test processes: the first caller makes it, the others wait."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def get(name: str, make: Callable[[Path], None]) -> Path:
        folder, made = shared / name, shared / f"{name}.made"
        with FileLock(f"{folder}.lock"):
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                made.touch()
        return folder

    return get


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """Chromium driven by Playwright; each test opens a context of its own.

    The scope is a module because Playwright allows one instance in a process, and some code under test starts its own.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("needs Chromium")
    flags = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]
    root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium's sandbox does not start for root
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags, chromium_sandbox=not root)
        yield browser
        browser.close()


def _make_phantom_run(folder: Path) -> None:
    osteolite, recipe = Path(sys.executable).with_name("osteolite"), Path(__file__).with_name("phantoms.toml")
    command = [str(osteolite), "run", "--recipe", str(recipe), "--out", str(folder / "phantoms")]
    with (folder / "run.out").open("w") as out, (folder / "run.err").open("w") as err:
        code = subprocess.run(command, stdout=out, stderr=err, timeout=2400, check=False).returncode
    assert code == 0, (folder / "run.err").read_text()[-4000:]


@pytest.fixture(scope="session")
def phantom_run(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """The run folder of `osteolite run` on drawn phantoms; its output is beside it in run.out and run.err."""
    return made_once("run", _make_phantom_run) / "phantoms"
