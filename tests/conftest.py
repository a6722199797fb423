"""Fixtures: the shared data, and model files so small that a test can compute their outputs by hand."""

import io
import itertools
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from filelock import FileLock
from flatbuffers import Builder
from hypothesis import settings
from PIL import Image

from osteolite.edge.modelfile.archive import write_model

if TYPE_CHECKING:
    from playwright.sync_api import Browser

settings.register_profile("osteolite", deadline=None)  # the machine may be busy
settings.load_profile("osteolite")

TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.int16): schema.TensorType.INT16,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}
Quantisation = tuple[float, int]  # scale, zero point


class Graph:
    """Builds a TFLite flatbuffer operator by operator, without TensorFlow."""

    def __init__(self) -> None:
        self.model, self.subgraph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs, self.model.operatorCodes = 3, [self.subgraph], []
        self.model.buffers = [schema.BufferT()]  # buffer 0 is empty, by convention
        self.subgraph.tensors, self.subgraph.operators = [], []

    def tensor(self, shape: tuple[int, ...], dtype: Any, quantisation: Quantisation | None = None) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), TYPES[np.dtype(dtype)], 0
        tensor.name = f"t{len(self.subgraph.tensors)}"
        if quantisation:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [quantisation[0]], [quantisation[1]]
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def constant(self, values: Any, dtype: Any, quantisation: Quantisation | None = None) -> int:
        array = np.asarray(values, dtype)
        index = self.tensor(array.shape, dtype, quantisation)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.subgraph.tensors[index].buffer = len(self.model.buffers) - 1
        return index

    def operator(self, code: int, inputs: list[int], output: int, options: tuple[int, Any] | None = None) -> int:
        operator, known = schema.OperatorT(), schema.OperatorCodeT()
        known.builtinCode = known.deprecatedBuiltinCode = code
        # Versions high enough for int8; RESHAPE has only one.
        known.version = {schema.BuiltinOperator.FULLY_CONNECTED: 4, schema.BuiltinOperator.RESHAPE: 1}.get(code, 2)
        self.model.operatorCodes.append(known)
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, [output]
        if options:
            operator.builtinOptionsType, operator.builtinOptions = options
        self.subgraph.operators.append(operator)
        return output

    def to_bytes(self, inputs: list[int], outputs: list[int]) -> bytes:
        self.subgraph.inputs, self.subgraph.outputs = inputs, outputs
        builder = Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def quantize_flatbuffer(dtype: Any, scale: float, zero_point: int, shape: tuple[int, ...]) -> bytes:
    """A model of one operator, QUANTIZE."""
    graph = Graph()
    given = graph.tensor(shape, np.float32)
    taken = graph.tensor(shape, dtype, (scale, zero_point))
    graph.operator(schema.BuiltinOperator.QUANTIZE, [given], taken)
    return graph.to_bytes([given], [taken])


def mean_flatbuffer(
    shape: tuple[int, int, int, int] = (1, 32, 32, 1),
    weight: float = 4.0,
    bias: float = 0.5,
    outputs: int = 1,
    twice: bool = False,
) -> bytes:
    """A float32 model: logit = weight * mean of the input + bias.

    Args:
        outputs: how often the output tensor repeats the logit.
        twice: give the mean as a second output tensor.
    """
    graph = Graph()
    picture = graph.tensor(shape, np.float32)
    mean = _mean(graph, picture, graph.tensor((1, shape[3]), np.float32))
    weights = graph.constant(np.full((outputs, shape[3]), weight / shape[3]), np.float32)
    biases = graph.constant(np.full(outputs, bias), np.float32)
    logit = _dense(graph, [mean, weights, biases], graph.tensor((1, outputs), np.float32))
    return graph.to_bytes([picture], [logit, mean] if twice else [logit])


def mean_int8_flatbuffer(weight: float = 4.0, bias: float = 0.5, float_ends: bool = False) -> bytes:
    """The same in int8. With `float_ends`, input and output are float32 and the file quantises and dequantises."""
    graph, shape = Graph(), (1, 32, 32, 1)
    pixels, unit, logits = (2 / 255, -1), weight / 127, ((weight + bias) / 120, 0)
    quantised = graph.tensor(shape, np.int8, pixels)
    mean = _mean(graph, quantised, graph.tensor((1, 1), np.int8, pixels))
    weights = graph.constant([[127]], np.int8, (unit, 0))
    biases = graph.constant([round(bias / (unit * pixels[0]))], np.int32, (unit * pixels[0], 0))
    logit = _dense(graph, [mean, weights, biases], graph.tensor((1, 1), np.int8, logits))
    if not float_ends:
        return graph.to_bytes([quantised], [logit])
    picture = graph.tensor(shape, np.float32)
    graph.operator(schema.BuiltinOperator.QUANTIZE, [picture], quantised)
    graph.subgraph.operators.insert(0, graph.subgraph.operators.pop())
    answer = graph.operator(schema.BuiltinOperator.DEQUANTIZE, [logit], graph.tensor((1, 1), np.float32))
    return graph.to_bytes([picture], [answer])


def _mean(graph: Graph, picture: int, output: int) -> int:
    options = schema.ReducerOptionsT()
    options.keepDims = False
    axes = graph.constant([1, 2], np.int32)
    return graph.operator(
        schema.BuiltinOperator.MEAN, [picture, axes], output, (schema.BuiltinOptions.ReducerOptions, options)
    )


def _dense(graph: Graph, inputs: list[int], output: int) -> int:
    options = (schema.BuiltinOptions.FullyConnectedOptions, schema.FullyConnectedOptionsT())
    return graph.operator(schema.BuiltinOperator.FULLY_CONNECTED, inputs, output, options)


def tiny_description(**changes: Any) -> dict[str, Any]:
    """The description that `write_model` needs for the tiny models, with `changes`."""
    return {
        "name": "tiny_float32",
        "variant": "float32",
        "preprocessing": {"width": 32, "height": 32, "channels": "grey"},
        "threshold": {"value": 0.4, "chosen": "by hand"},
        "probability_calibration": {"slope": 1.5, "intercept": -0.25},
        **changes,
    }


class TinyModels:
    """Flatbuffers whose logit is 4 * mean of the input + 0.5, and the tools to build unusual ones."""

    graph = Graph
    operators = schema.BuiltinOperator
    mean = staticmethod(mean_flatbuffer)
    mean_int8 = staticmethod(mean_int8_flatbuffer)
    quantize = staticmethod(quantize_flatbuffer)
    description = staticmethod(tiny_description)


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the file that makes the slowest fixture first and those that only use it last, so that no process waits."""
    users = {item.path for item in items if "phantom_run" in getattr(item, "fixturenames", ())}
    makers = {item.path for item in items if "files" in getattr(item, "fixturenames", ())}
    first = min(makers & users, default=None, key=lambda path: path.name != "test_variants.py")
    items.sort(key=lambda item: 0 if item.path == first else 1 + (item.path in users))
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
    command = [str(Path(sys.executable).with_name("osteolite")), "run", "--out", str(folder / "phantoms")]
    with (folder / "run.out").open("w") as out, (folder / "run.err").open("w") as err:
        code = subprocess.run(command, stdout=out, stderr=err, timeout=2400, check=False).returncode
    assert code == 0, (folder / "run.err").read_text()[-4000:]


@pytest.fixture(scope="session")
def phantom_run(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """The run folder of `osteolite run` with its defaults; its output is beside it in run.out and run.err."""
    return made_once("run", _make_phantom_run) / "phantoms"
