"""Kernels rounded together: what int8 makes of them, and what it spares the answer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.convert.variants.activation_ranges import with_ranges
from osteolite.convert.variants.flatbuffer import packed, unpacked
from osteolite.convert.variants.gptq import Rounding, spread
from osteolite.convert.variants.variants import Source, int8, pruned_int8
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.inference.opening import open_session
from osteolite.edge.preprocess import PreprocessingSpec, preprocess
from osteolite.edge.silence import quiet_stderr
from osteolite.train.data.layouts import read_dataset
from osteolite.train.keras import keras, mlir_quantize, tf

SIDE = 96


def alike_inputs(random: np.random.Generator, count: int) -> np.ndarray:
    """Mean products of inputs that lie far from zero and differ little, as a picture's neighbours do."""
    seen = 3.0 + random.normal(size=(400, 1)) + 0.3 * random.normal(size=(400, count))
    return np.asarray(seen.T @ seen / len(seen))


@given(seed=st.integers(0, 500), kernels=st.integers(1, 5), count=st.integers(1, 30))
def test_weights_move_to_the_steps_that_the_quantiser_finds(seed: int, kernels: int, count: int) -> None:
    random = np.random.default_rng(seed)
    groups = random.normal(size=(2, kernels, count))
    squares = np.stack([alike_inputs(random, count) for _ in range(2)])
    levels = 127 * spread(groups, squares) / np.abs(groups).max(axis=2, keepdims=True)
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-6)
    assert (np.abs(np.rint(levels)).max(axis=2) == 127).all()


@pytest.mark.parametrize("count", [9, 16, 100])
def test_results_move_less_than_with_each_weight_rounded_alone(count: int) -> None:
    random = np.random.default_rng(count)
    groups, squares = random.normal(size=(1, 200, count)), alike_inputs(random, count)[None]
    steps = np.abs(groups).max(axis=2, keepdims=True) / 127
    errors = [one - groups for one in (spread(groups, squares), np.rint(groups / steps) * steps)]
    together, alone = (np.einsum("gki,gij,gkj->", error, squares, error) for error in errors)
    assert together < 0.3 * alone


def test_a_kernel_of_nothing_and_inputs_of_nothing_stay_finite() -> None:
    assert not spread(np.zeros((1, 2, 4)), np.eye(4)[None]).any()
    weights = np.random.default_rng(1).normal(size=(1, 2, 4))
    steps = np.abs(weights).max(axis=2, keepdims=True) / 127
    np.testing.assert_allclose(spread(weights, np.zeros((1, 4, 4))), np.rint(weights / steps) * steps)


@pytest.fixture(scope="module")
def radiographs(shared_data: Path) -> list[np.ndarray]:
    spec = PreprocessingSpec(SIDE, SIDE)
    catalogue = read_dataset(shared_data / "fracatlas" / "fullres")
    return [preprocess(read_radiograph(catalogue.path(row), spec), spec) for row in catalogue.rows]


@pytest.fixture(scope="module")
def source(shared_data: Path, radiographs: list[np.ndarray]) -> Source:
    """ImageNet's MobileNetV2, whose answer is the mean of its last features."""
    weights = shared_data / "weights" / "mobilenet_v2_0.35_224_no_top.h5"
    network = keras.applications.MobileNetV2((SIDE, SIDE, 3), 0.35, include_top=False, weights=str(weights))
    answer = keras.layers.GlobalAveragePooling2D()(network.output)
    flatbuffer = float32_of(keras.Model(network.input, answer))

    def retrain(kind: str) -> bytes:
        """A quarter of the weights of each kernel at zero."""
        model = unpacked(flatbuffer)
        for name in Rounding(flatbuffer, radiographs[:1]).kernels:
            tensor = next(one for one in model.subgraphs[0].tensors if one.name.decode() == name)
            values = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.float32).copy()
            values[np.abs(values) < np.quantile(np.abs(values), 0.25)] = 0
            model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
        return packed(model)

    return Source(flatbuffer, radiographs, 0, retrain)


def float32_of(model: Any) -> bytes:
    with quiet_stderr():
        flatbuffer: bytes = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    return flatbuffer


def answers(flatbuffer: bytes, inputs: list[np.ndarray]) -> np.ndarray:
    session = open_session(flatbuffer)
    return np.concatenate([session.invoke(one) for one in inputs])


def kernels(flatbuffer: bytes) -> dict[str, np.ndarray]:
    """The int8 weights of each convolution as real numbers."""
    model = unpacked(flatbuffer)
    found = {}
    for tensor in model.subgraphs[0].tensors:
        content = model.buffers[tensor.buffer].data
        if content is None or len(tensor.shape) != 4 or len(content) != np.prod(tensor.shape):
            continue
        levels = np.frombuffer(bytes(content), np.int8).reshape(tensor.shape).astype(np.float64)
        along = [1] * 4
        along[tensor.quantization.quantizedDimension] = -1
        found[tensor.name.decode()] = levels * np.asarray(tensor.quantization.scale).reshape(along)
    return found


@pytest.mark.slow
def test_int8_answers_far_closer_to_float32_on_real_radiographs(source: Source, radiographs: list[np.ndarray]) -> None:
    alone = mlir_quantize(
        with_ranges(source.float32, radiographs), input_data_type=tf.float32, output_data_type=tf.float32
    )
    expected = answers(source.float32, radiographs)
    errors = [np.square(answers(one, radiographs) - expected).mean() for one in (int8(source), alone)]
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.slow
def test_the_quantiser_keeps_the_rounded_kernels(source: Source) -> None:
    found, wanted = kernels(int8(source)), source.rounding.kernels
    assert len(wanted) == 52  # all convolutions of MobileNetV2
    shared = [name for name in wanted if name in found]
    assert len(shared) > 45
    for name in shared:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-6 * np.abs(wanted[name]).max())


@pytest.mark.slow
def test_what_stays_in_float32_keeps_its_kernel(source: Source) -> None:
    names = [one.name.decode() for one in unpacked(source.float32).subgraphs[0].tensors]
    first = next(name for name in names if name in source.rounding.kernels)
    results = {
        operator.inputs[1]: operator.outputs[0]
        for operator in unpacked(source.float32).subgraphs[0].operators
        if len(operator.inputs) > 1
    }
    kept = names[results[names.index(first)]]
    for keep, same in (([kept], True), ([], False)):
        changed = unpacked(source.rounding.applied(source.float32, keep))
        before = unpacked(source.float32)
        contents = [
            bytes(model.buffers[next(t for t in model.subgraphs[0].tensors if t.name.decode() == first).buffer].data)
            for model in (before, changed)
        ]
        assert (contents[0] == contents[1]) is same


@pytest.mark.slow
def test_zeros_of_a_pruned_network_stay_zeros(source: Source) -> None:
    for name, values in kernels(pruned_int8(source)).items():
        assert (values == 0).mean() > 0.24, name


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"dilation_rate": 2}, {"groups": 2}, {"padding": "valid", "strides": 3}])
def test_convolutions_of_other_kinds_are_left_alone_or_rounded_right(options: dict[str, Any]) -> None:
    start = keras.Input((32, 32, 4), batch_size=1)
    inner = keras.layers.Conv2D(8, 3, **options)(start)
    model = keras.Model(start, keras.layers.GlobalAveragePooling2D()(inner))
    random = np.random.default_rng(3)
    inputs = [(3 + random.normal(size=(1, 32, 32, 4))).astype(np.float32) for _ in range(4)]
    whole = Source(float32_of(model), inputs, 0, _never)
    rounded = len(whole.rounding.kernels)
    assert rounded == (1 if "strides" in options else 0)
    expected = answers(whole.float32, inputs)
    np.testing.assert_allclose(answers(int8(whole), inputs), expected, atol=0.03 * np.abs(expected).max())


def _never(kind: str) -> bytes:
    raise AssertionError(kind)
