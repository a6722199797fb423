"""Sessions: outputs of a run, threads, and refused inputs and models."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from osteolite.edge.errors import ModelFileError, UsageError
from osteolite.edge.inference.opening import open_session
from osteolite.edge.machine import default_threads
from osteolite.edge.modelfile.archive import read_description
from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.preprocess import PreprocessingSpec, grey_levels, preprocess

DENSE = (schema.BuiltinOptions.FullyConnectedOptions, schema.FullyConnectedOptionsT())


def write(tmp_path: Path, flatbuffer: bytes) -> Path:
    (tmp_path / "model.tflite").write_bytes(flatbuffer)
    return tmp_path / "model.tflite"


def with_extras(tiny: Any, extras: list[str], channels: int = 1) -> bytes:
    """A model of 4 x 6 pixels whose logit is the mean of the first channel; the extras are reshaped pixels."""
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


def test_invoke_returns_the_logit_of_a_float_model(tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, tiny.mean(weight=4.0, bias=0.5)))
    assert (session.input_shape, session.output_shape) == ((1, 32, 32, 1), (1, 1))
    noise = np.random.default_rng(0).uniform(-1, 1, session.input_shape).astype(np.float32)
    logit = session.invoke(noise)
    assert logit.dtype == np.float32
    assert logit[0, 0] == pytest.approx(4 * noise.mean() + 0.5, abs=1e-4)


def test_int8_input_and_output_give_the_logits_of_float_ones(tiny: Any) -> None:
    int8, floats = open_session(tiny.mean_int8()), open_session(tiny.mean_int8(float_ends=True))
    logits = set()
    for level in (np.arange(256, dtype=np.float32) - 127.5) / np.float32(127.5):
        picture = np.full((1, 32, 32, 1), level, np.float32)
        logit = int8.invoke(picture)
        assert logit == floats.invoke(picture)
        assert logit[0, 0] == pytest.approx(4 * level + 0.5, abs=0.06)  # the quantisation step of the output is 0.0375
        logits.add(float(logit[0, 0]))
    assert len(logits) > 100


def test_a_run_does_not_change_earlier_outputs(tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, tiny.mean()))
    black, white = (np.full((1, 32, 32, 1), level, np.float32) for level in (-1, 1))
    first = session.invoke(black)
    session.invoke(white)
    assert first == session.invoke(black) == [[-3.5]]


@pytest.mark.parametrize("extras", [[], ["map"], ["features"], ["map", "features"], ["features", "map"]])
def test_a_run_returns_logit_map_and_features(extras: list[str], tmp_path: Path, tiny: Any) -> None:
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
def test_run_pixels_gives_the_outputs_of_run(model: Callable[[Any], bytes], tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, model(tiny)))
    _, height, width, channels = session.input_shape
    for mean, std in ((127.5, 127.5), (118.3, 61.7)):  # a change of levels must change the table
        spec = PreprocessingSpec(width, height, channels="grey" if channels == 1 else "rgb", mean=mean, std=std)
        for seed in range(5):
            pixels = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
            found = session.run_pixels(pixels, grey_levels(spec))
            expected = session.run(preprocess(Image.fromarray(pixels), spec))
            np.testing.assert_array_equal(found.values, expected.values)
            if expected.activation_map is not None:
                np.testing.assert_array_equal(found.activation_map, expected.activation_map)


def test_run_pixels_gives_the_outputs_of_run_on_the_shipped_model() -> None:
    session, description = open_session(shipped_model()), read_description(shipped_model())
    pixels = np.random.default_rng(0).integers(0, 256, description.preprocessing.shape[:2], np.uint8)
    found = session.run_pixels(pixels, grey_levels(description.preprocessing))
    expected = session.run(preprocess(Image.fromarray(pixels), description.preprocessing))
    np.testing.assert_array_equal(found.values, expected.values)


def test_threads_share_a_session(tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, with_extras(tiny, ["map", "features"])))

    def agrees(level: int) -> bool:
        pixels = np.full((4, 6), level, np.uint8)
        levels = np.arange(256, dtype=np.float32) * (1 + level % 3)
        outputs = session.run_pixels(pixels, levels)
        arrays = (outputs.values, outputs.activation_map, outputs.features)
        return all(array is not None and np.allclose(array, levels[level]) for array in arrays)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(agrees, [*range(256)] * 8))


def test_a_closed_session_refuses_to_run(tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, tiny.mean()))
    session.close()
    session.close()
    with pytest.raises(UsageError, match="closed; open it again"):
        session.run(np.zeros(session.input_shape, np.float32))


@pytest.mark.parametrize(
    "tensor", [np.zeros((1, 1), np.float32), np.zeros((32, 32, 1), np.float32), np.zeros((1, 32, 32, 1))]
)
def test_a_tensor_of_another_shape_or_type_is_refused(tensor: Any, tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, tiny.mean()))
    with pytest.raises(UsageError, match=r"the input is .*; the model takes float32 of \(1, 32, 32, 1\)"):
        session.run(tensor)


@pytest.mark.parametrize("pixels", [np.zeros((32, 31), np.uint8), np.zeros((32, 32)), np.zeros((1, 32, 32), np.uint8)])
def test_pixels_of_another_shape_or_type_are_refused(pixels: Any, tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, tiny.mean()))
    with pytest.raises(UsageError, match=r"the pixels are .*; the model takes uint8 of \(32, 32\)"):
        session.run_pixels(pixels, np.arange(256, dtype=np.float32))


@pytest.mark.parametrize("levels", [np.arange(255, dtype=np.float32), np.arange(256)])
def test_levels_of_another_shape_or_type_are_refused(levels: Any, tmp_path: Path, tiny: Any) -> None:
    session = open_session(write(tmp_path, tiny.mean()))
    with pytest.raises(UsageError, match=r"the levels are .*; float32 of \(256,\) is needed"):
        session.run_pixels(np.zeros((32, 32), np.uint8), levels)


def test_the_number_of_threads_is_the_given_or_the_default_one(tmp_path: Path, tiny: Any) -> None:
    path = write(tmp_path, tiny.mean())
    assert open_session(path, 1).threads == 1
    assert open_session(path).threads == default_threads()
    assert 1 <= default_threads() <= 4


# Refusing


@pytest.mark.parametrize(
    "content", [b"", b"A text file.\n" * 9, b"\x20\0\0\0TFL3" + bytes(100)], ids=["0", "text", "0s"]
)
def test_a_file_that_is_not_a_model_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="refuses the model"):
        open_session(write(tmp_path, content))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"missing\.tflite"):
        open_session(tmp_path / "missing.tflite")


def test_outputs_that_are_neither_map_nor_features_are_refused(tmp_path: Path, tiny: Any) -> None:
    for extras in (["map", "map"], ["features", "features"], ["cube"]):
        with pytest.raises(ModelFileError, match=r"its output \d has shape \(.*\); after the logits, one"):
            open_session(write(tmp_path, with_extras(tiny, extras)))


@pytest.mark.parametrize("dtype", [np.bool_, np.int32, np.int8], ids=["bool", "int32", "int8 without a scale"])
def test_an_input_of_an_unsupported_type_is_refused(dtype: type, tmp_path: Path, tiny: Any) -> None:
    graph = tiny.graph()
    picture = graph.tensor((1, 4), dtype)
    shape = graph.constant([4], np.int32)
    output = graph.operator(tiny.operators.RESHAPE, [picture, shape], graph.tensor((4,), dtype))
    with pytest.raises(ModelFileError, match=r"its input is .*; it must be float32, or quantised int8, uint8 or int16"):
        open_session(write(tmp_path, graph.to_bytes([picture], [output])))
