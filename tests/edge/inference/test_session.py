import math
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from osteolite.edge.errors import MissingExtra, ModelFileError, UsageError
from osteolite.edge.inference.engine import runtime_module, runtime_name
from osteolite.edge.inference.opening import open_session
from osteolite.edge.inference.tensors import dequantise, quantise, sigmoid
from osteolite.edge.machine import default_threads
from osteolite.edge.modelfile.archive import read_description
from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.preprocess import PreprocessingSpec, grey_levels, preprocess

DENSE = (schema.BuiltinOptions.FullyConnectedOptions, schema.FullyConnectedOptionsT())
INTEGERS = [np.int8, np.uint8, np.int16]


def grey_tensor(mean: float, std: float) -> np.ndarray:
    """All 256 grey values as an input tensor of 16 x 16 pixels."""
    levels = (np.arange(256, dtype=np.float32) - np.float32(mean)) / np.float32(std)
    return levels.reshape(1, 16, 16, 1)


def interpreters_own(tensor: np.ndarray, dtype: type, scale: float, zero_point: int, tiny: Any) -> tuple[Any, Any]:
    """What the interpreter's QUANTIZE makes of a tensor, and the details of its output."""
    content = tiny.quantize(dtype, scale, zero_point, tensor.shape)
    interpreter = runtime_module()[0].Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tensor)
    interpreter.invoke()
    details = interpreter.get_output_details()[0]
    return interpreter.get_tensor(details["index"]), details


def write(tmp_path: Path, flatbuffer: bytes) -> Path:
    (tmp_path / "model.tflite").write_bytes(flatbuffer)
    return tmp_path / "model.tflite"


def with_extras(tiny: Any, extras: list[str], channels: int = 1) -> bytes:
    """A model of 4 x 6 pixels whose answer is the first channel's mean; reshapes of the pixels come after it."""
    graph, shape = tiny.graph(), (1, 4, 6, channels)
    picture = graph.tensor(shape, np.float32)
    shapes = {"map": (1, 4, 6 * channels, 1), "features": (1, 24 * channels), "cube": (1, 4, 3, 2 * channels)}
    flat = graph.operator(
        tiny.operators.RESHAPE,
        [picture, graph.constant([1, 24 * channels], np.int32)],
        graph.tensor((1, 24 * channels), np.float32),
    )
    weights = graph.constant([np.tile([1 / 24] + [0] * (channels - 1), 24)], np.float32)
    dense = graph.tensor((1, 1), np.float32)
    graph.operator(tiny.operators.FULLY_CONNECTED, [flat, weights, graph.constant([0], np.float32)], dense, DENSE)
    outputs = [
        graph.operator(
            tiny.operators.RESHAPE,
            [picture, graph.constant(shapes[extra], np.int32)],
            graph.tensor(shapes[extra], np.float32),
        )
        for extra in extras
    ]
    return bytes(graph.to_bytes([picture], [dense, *outputs]))


# Quantising


@given(
    dtype=st.sampled_from(INTEGERS),
    std=st.sampled_from([127.5, 255.0, 1.0, 61.7]),
    mean=st.sampled_from([127.5, 0.0, 118.3]),
    steps=st.one_of(st.sampled_from([127.0, 127.5, 254.0, 255.0, 32767.0]), st.floats(20, 1000)),
    zero_point=st.integers(-128, 255),
)
def test_quantise_equals_the_interpreters_own(
    tiny: Any, dtype: type, std: float, mean: float, steps: float, zero_point: int
) -> None:
    limits = np.iinfo(dtype)
    assume(limits.min <= zero_point <= limits.max)
    tensor = grey_tensor(mean, std)
    scale = float(tensor.max() - tensor.min()) / steps
    expected, details = interpreters_own(tensor, dtype, scale, 0 if dtype is np.int16 else zero_point, tiny)
    given_back = quantise(tensor, details)
    assert given_back.dtype == dtype
    np.testing.assert_array_equal(given_back, expected)


@pytest.mark.parametrize(("dtype", "zero_point"), [(np.int8, -1), (np.int8, 0), (np.uint8, 127), (np.int16, 0)])
@pytest.mark.parametrize("scale", [2 / 255, 0.00784313678741455, 2**-7, 1 / 255])  # the second is one float32 below
def test_quantise_equals_the_interpreters_own_on_ties(dtype: type, zero_point: int, scale: float, tiny: Any) -> None:
    half_steps = ((np.arange(256, dtype=np.float32) - np.float32(127.5)) * np.float32(scale)).reshape(1, 16, 16, 1)
    for tensor in (half_steps, grey_tensor(127.5, 127.5)):
        expected, details = interpreters_own(tensor, dtype, scale, zero_point, tiny)
        np.testing.assert_array_equal(quantise(tensor, details), expected)


def test_ties_are_rounded_to_even_before_the_zero_point_is_added() -> None:
    ties = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], np.float32)
    for zero_point in (0, -1, 7):
        rounded = quantise(ties, {"dtype": np.int8, "quantization": (1.0, zero_point)})
        assert (rounded - zero_point).tolist() == [-2, -2, 0, 0, 2, 2]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_quantise_saturates(dtype: type) -> None:
    limits = np.iinfo(dtype)
    given_back = quantise(np.array([-1e9, 1e9], np.float32), {"dtype": dtype, "quantization": (0.01, 3)})
    assert given_back.tolist() == [limits.min, limits.max]


def test_float_passes_as_it_is() -> None:
    tensor, details = grey_tensor(127.5, 127.5), {"dtype": np.float32, "quantization": (0.0, 0)}
    np.testing.assert_array_equal(quantise(tensor, details), tensor)
    np.testing.assert_array_equal(dequantise(tensor, details), tensor)


@given(st.sampled_from(INTEGERS), st.floats(1e-4, 10), st.integers(-100, 100), st.integers(-100, 100))
def test_quantise_takes_back_what_dequantise_gives(dtype: type, scale: float, zero_point: int, step: int) -> None:
    details = {"dtype": dtype, "quantization": (scale, abs(zero_point) if dtype is np.uint8 else zero_point)}
    value = np.array([abs(step) if dtype is np.uint8 else step], dtype)
    real = dequantise(value, details)
    assert real.dtype == np.float32
    assert real[0] == pytest.approx((int(value[0]) - details["quantization"][1]) * scale, rel=1e-5)
    assert quantise(real, details) == value


# Running


def test_a_float_model_gives_its_logit(tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, tiny.mean(weight=4.0, bias=0.5)))
    assert (session.input_shape, session.output_shape) == ((1, 32, 32, 1), (1, 1))
    noise = np.random.default_rng(0).uniform(-1, 1, session.input_shape).astype(np.float32)
    logit = session.invoke(noise)
    assert logit.dtype == np.float32
    assert logit[0, 0] == pytest.approx(4 * noise.mean() + 0.5, abs=1e-4)


def test_int8_ends_give_what_the_file_with_float_ends_gives(tmp_path: Path, tiny: Any) -> None:
    outer, inner = (tmp_path / name for name in ("int8_ends", "float_ends"))
    outer.write_bytes(tiny.mean_int8())
    inner.write_bytes(tiny.mean_int8(float_ends=True))
    ours, theirs = open_session(outer), open_session(inner)
    logits = set()
    for level in grey_tensor(127.5, 127.5).ravel():
        picture = np.full((1, 32, 32, 1), level, np.float32)
        logit = ours.invoke(picture)
        assert logit == theirs.invoke(picture)
        assert logit[0, 0] == pytest.approx(4 * level + 0.5, abs=0.06)  # the output's step is 0.0375
        logits.add(float(logit[0, 0]))
    assert len(logits) > 100


def test_one_answer_does_not_change_the_last(tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, tiny.mean()))
    black, white = (np.full((1, 32, 32, 1), level, np.float32) for level in (-1, 1))
    first = session.invoke(black)
    session.invoke(white)
    assert first == session.invoke(black) == [[-3.5]]


@pytest.mark.parametrize("extras", [[], ["map"], ["features"], ["map", "features"], ["features", "map"]])
def test_one_run_gives_all_outputs(extras: list[str], tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, with_extras(tiny, extras)))
    tensor = np.random.default_rng(0).uniform(-1, 1, (1, 4, 6, 1)).astype(np.float32)
    outputs = session.run(tensor)
    assert outputs.values == pytest.approx(tensor.mean(), abs=1e-6)
    assert outputs.values == session.invoke(tensor)
    assert session.map_shape == ((4, 6) if "map" in extras else None)
    assert session.feature_count == (24 if "features" in extras else None)
    for found, name, shape in ((outputs.activation_map, "map", (4, 6)), (outputs.features, "features", (24,))):
        assert (found is not None) == (name in extras)
        if found is not None:
            np.testing.assert_array_equal(found, tensor.reshape(shape))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda tiny: with_extras(tiny, ["map"]), id="float grey"),
        pytest.param(lambda tiny: with_extras(tiny, ["map"], channels=3), id="float rgb"),
        pytest.param(lambda tiny: tiny.mean_int8(), id="int8"),
        pytest.param(lambda tiny: tiny.quantize(np.int16, 0.01, 0, (1, 5, 7, 3)), id="int16 out"),
    ],
)
def test_pixels_give_what_their_tensor_gives(model: Callable[[Any], bytes], tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, model(tiny)))
    _, height, width, channels = session.input_shape
    for mean, std in ((127.5, 127.5), (118.3, 61.7)):  # the table must follow the levels
        spec = PreprocessingSpec(width, height, channels="grey" if channels == 1 else "rgb", mean=mean, std=std)
        for seed in range(5):
            pixels = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
            found = session.run_pixels(pixels, grey_levels(spec))
            expected = session.run(preprocess(Image.fromarray(pixels), spec))
            np.testing.assert_array_equal(found.values, expected.values)
            if expected.activation_map is not None:
                np.testing.assert_array_equal(found.activation_map, expected.activation_map)


def test_pixels_on_the_model_that_ships() -> None:
    session, description = open_session(shipped_model()), read_description(shipped_model())
    pixels = np.random.default_rng(0).integers(0, 256, description.preprocessing.shape[:2], np.uint8)
    found = session.run_pixels(pixels, grey_levels(description.preprocessing))
    expected = session.run(preprocess(Image.fromarray(pixels), description.preprocessing))
    np.testing.assert_array_equal(found.values, expected.values)


def test_threads_share_a_runtime(tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, with_extras(tiny, ["map", "features"])))

    def agrees(level: int) -> bool:
        pixels = np.full((4, 6), level, np.uint8)
        levels = np.arange(256, dtype=np.float32) * (1 + level % 3)
        outputs = session.run_pixels(pixels, levels)
        arrays = (outputs.values, outputs.activation_map, outputs.features)
        return all(array is not None and np.allclose(array, levels[level]) for array in arrays)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(agrees, [*range(256)] * 8))


def test_a_closed_runtime_says_so(tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, tiny.mean()))
    session.close()
    session.close()
    with pytest.raises(UsageError, match="closed; open it again"):
        session.run(np.zeros(session.input_shape, np.float32))


@pytest.mark.parametrize(
    "tensor", [np.zeros((1, 1), np.float32), np.zeros((32, 32, 1), np.float32), np.zeros((1, 32, 32, 1))]
)
def test_a_tensor_that_does_not_fit(tensor: Any, tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, tiny.mean()))
    with pytest.raises(UsageError, match=r"the input is .*; the model takes float32 of \(1, 32, 32, 1\)"):
        session.run(tensor)


@pytest.mark.parametrize("pixels", [np.zeros((32, 31), np.uint8), np.zeros((32, 32)), np.zeros((1, 32, 32), np.uint8)])
def test_pixels_that_do_not_fit(pixels: Any, tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, tiny.mean()))
    with pytest.raises(UsageError, match=r"the pixels are .*; the model takes uint8 of \(32, 32\)"):
        session.run_pixels(pixels, np.arange(256, dtype=np.float32))


@pytest.mark.parametrize("levels", [np.arange(255, dtype=np.float32), np.arange(256)])
def test_levels_that_do_not_fit(levels: Any, tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, tiny.mean()))
    with pytest.raises(UsageError, match=r"the levels are .*; float32 of \(256,\) is needed"):
        session.run_pixels(np.zeros((32, 32), np.uint8), levels)


def test_threads(tmp_path: Path, tiny: Any) -> None:
    path = write(tmp_path, tiny.mean())
    assert open_session(path, 1).threads == 1
    assert open_session(path).threads == default_threads()
    assert 1 <= default_threads() <= 4


def test_the_runtime_says_its_name_and_version() -> None:
    name, _, number = runtime_name().partition(" ")
    assert name in ("ai-edge-litert", "tflite-runtime")
    assert number[0].isdigit()


# Refusing


@pytest.mark.parametrize(
    "content", [b"", b"A text file.\n" * 9, b"\x20\0\0\0TFL3" + bytes(100)], ids=["0", "text", "0s"]
)
def test_what_the_interpreter_refuses(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="refuses the model"):
        open_session(write(tmp_path, content))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"missing\.tflite"):
        open_session(tmp_path / "missing.tflite")


def test_outputs_that_are_neither_map_nor_features(tmp_path: Path, tiny: Any) -> None:
    for extras in (["map", "map"], ["features", "features"], ["cube"]):
        with pytest.raises(ModelFileError, match=r"its output \d is \(.*\); after the answer an activation map of"):
            open_session(write(tmp_path, with_extras(tiny, extras)))


@pytest.mark.parametrize("dtype", [np.bool_, np.int32, np.int8], ids=["bool", "int32", "int8 without a scale"])
def test_an_input_of_no_known_meaning(dtype: type, tmp_path: Path, tiny: Any) -> None:
    graph = tiny.graph()
    taken = graph.tensor((1, 4), dtype)
    shape = graph.constant([4], np.int32)
    given_back = graph.operator(tiny.operators.RESHAPE, [taken, shape], graph.tensor((4,), dtype))
    with pytest.raises(ModelFileError, match=r"its input is .*; float32, or a quantised int8, uint8 or int16"):
        open_session(write(tmp_path, graph.to_bytes([taken], [given_back])))


def test_without_a_runtime_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ai_edge_litert", "tflite_runtime"):
        monkeypatch.setitem(sys.modules, f"{module}.interpreter", None)
    with pytest.raises(MissingExtra, match="pip install ai-edge-litert"):
        runtime_module()


# The logistic function


@given(st.floats(-30, 30))
def test_sigmoid_is_the_logistic_function(value: float) -> None:
    assert sigmoid(value) == pytest.approx(1 / (1 + math.exp(-value)), rel=1e-12)
    assert sigmoid(-value) == pytest.approx(1 - sigmoid(value), abs=1e-12)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_sigmoid_rises_from_0_to_1_without_overflow(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= sigmoid(low) <= sigmoid(high) <= 1
