"""GPTQ: its rounding on random kernels, and int8 made with it on real radiographs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.convert.variants.activation_ranges import with_ranges
from osteolite.convert.variants.flatbuffer import pack, unpack
from osteolite.convert.variants.gptq import Array, Gptq, round_kernels
from osteolite.convert.variants.variants import Source, int8, pruned_int8
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.inference.opening import open_session
from osteolite.edge.preprocess import PreprocessingSpec, preprocess
from osteolite.edge.silence import quiet_stderr
from osteolite.train.data.layouts import read_dataset
from osteolite.train.keras import keras, mlir_quantize, tf

SIDE = 96


def similar_input_moments(random: np.random.Generator, count: int) -> Array:
    """The mean products of inputs that are far from zero and alike, as neighbouring pixels are."""
    inputs = 3.0 + random.normal(size=(400, 1)) + 0.3 * random.normal(size=(400, count))
    return np.asarray(inputs.T @ inputs / len(inputs))


@given(seed=st.integers(0, 500), kernels=st.integers(1, 5), count=st.integers(1, 30))
def test_rounded_weights_lie_on_the_quantisers_steps(seed: int, kernels: int, count: int) -> None:
    random = np.random.default_rng(seed)
    groups = random.normal(size=(2, kernels, count))
    moments = np.stack([similar_input_moments(random, count) for _ in range(2)])
    levels = 127 * round_kernels(groups, moments) / np.abs(groups).max(axis=2, keepdims=True)
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-6)
    assert (np.abs(np.rint(levels)).max(axis=2) == 127).all()


@pytest.mark.parametrize("count", [9, 16, 100])
def test_outputs_change_less_than_with_each_weight_rounded_to_nearest(count: int) -> None:
    random = np.random.default_rng(count)
    groups, moments = random.normal(size=(1, 200, count)), similar_input_moments(random, count)[None]
    steps = np.abs(groups).max(axis=2, keepdims=True) / 127
    errors = [one - groups for one in (round_kernels(groups, moments), np.rint(groups / steps) * steps)]
    gptq, nearest = (np.einsum("gki,gij,gkj->", error, moments, error) for error in errors)
    assert gptq < 0.3 * nearest


def test_zero_kernels_and_zero_inputs_give_finite_weights() -> None:
    assert not round_kernels(np.zeros((1, 2, 4)), np.eye(4)[None]).any()
    weights = np.random.default_rng(1).normal(size=(1, 2, 4))
    steps = np.abs(weights).max(axis=2, keepdims=True) / 127
    np.testing.assert_allclose(round_kernels(weights, np.zeros((1, 4, 4))), np.rint(weights / steps) * steps)


@pytest.fixture(scope="module")
def radiographs(shared_data: Path) -> list[Array]:
    spec = PreprocessingSpec(SIDE, SIDE)
    catalogue = read_dataset(shared_data / "fracatlas" / "fullres")
    return [preprocess(read_radiograph(catalogue.path(row), spec), spec) for row in catalogue.rows]


@pytest.fixture(scope="module")
def source(shared_data: Path, radiographs: list[Array]) -> Source:
    """MobileNetV2 with ImageNet weights; its output is the mean of its last features."""
    weights = shared_data / "weights" / "mobilenet_v2_0.35_224_no_top.h5"
    network = keras.applications.MobileNetV2((SIDE, SIDE, 3), 0.35, include_top=False, weights=str(weights))
    output = keras.layers.GlobalAveragePooling2D()(network.output)
    flatbuffer = float32_of(keras.Model(network.input, output))

    def finetune(method: str) -> bytes:
        """Set a quarter of the weights of each kernel to zero."""
        model = unpack(flatbuffer)
        for name in Gptq(flatbuffer, radiographs[:1]).kernels:
            tensor = next(one for one in model.subgraphs[0].tensors if one.name.decode() == name)
            values = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.float32).copy()
            values[np.abs(values) < np.quantile(np.abs(values), 0.25)] = 0
            model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
        return pack(model)

    return Source(flatbuffer, radiographs, 0, finetune)


def float32_of(model: Any) -> bytes:
    with quiet_stderr():
        flatbuffer: bytes = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    return flatbuffer


def outputs(flatbuffer: bytes, inputs: list[Array]) -> Array:
    session = open_session(flatbuffer)
    return np.concatenate([session.invoke(one) for one in inputs])


def kernels(flatbuffer: bytes) -> dict[str, Array]:
    """The dequantised int8 weights of each convolution."""
    model = unpack(flatbuffer)
    found = {}
    for tensor in model.subgraphs[0].tensors:
        content = model.buffers[tensor.buffer].data
        if content is None or len(tensor.shape) != 4 or len(content) != np.prod(tensor.shape):
            continue
        levels = np.frombuffer(bytes(content), np.int8).reshape(tensor.shape).astype(np.float64)
        axes = [1] * 4
        axes[tensor.quantization.quantizedDimension] = -1
        found[tensor.name.decode()] = levels * np.asarray(tensor.quantization.scale).reshape(axes)
    return found


@pytest.mark.slow
def test_int8_is_far_closer_to_float32_with_gptq_on_real_radiographs(source: Source, radiographs: list[Array]) -> None:
    nearest = mlir_quantize(
        with_ranges(source.float32, radiographs), input_data_type=tf.float32, output_data_type=tf.float32
    )
    expected = outputs(source.float32, radiographs)
    errors = [np.square(outputs(one, radiographs) - expected).mean() for one in (int8(source), nearest)]
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.slow
def test_the_quantiser_keeps_the_rounded_kernels(source: Source) -> None:
    found, wanted = kernels(int8(source)), source.gptq.kernels
    assert len(wanted) == 52  # all convolutions of MobileNetV2
    shared = [name for name in wanted if name in found]
    assert len(shared) > 45
    for name in shared:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-6 * np.abs(wanted[name]).max())


@pytest.mark.slow
def test_an_operator_kept_in_float32_keeps_its_kernel(source: Source) -> None:
    names = [one.name.decode() for one in unpack(source.float32).subgraphs[0].tensors]
    first = next(name for name in names if name in source.gptq.kernels)
    results = {
        operator.inputs[1]: operator.outputs[0]
        for operator in unpack(source.float32).subgraphs[0].operators
        if len(operator.inputs) > 1
    }
    kept = names[results[names.index(first)]]
    for keep, same in (([kept], True), ([], False)):
        changed = unpack(source.gptq.applied(source.float32, keep))
        before = unpack(source.float32)
        contents = [
            bytes(model.buffers[next(t for t in model.subgraphs[0].tensors if t.name.decode() == first).buffer].data)
            for model in (before, changed)
        ]
        assert (contents[0] == contents[1]) is same


@pytest.mark.slow
def test_pruned_weights_stay_zero(source: Source) -> None:
    for name, values in kernels(pruned_int8(source)).items():
        assert (values == 0).mean() > 0.24, name


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"dilation_rate": 2}, {"groups": 2}, {"padding": "valid", "strides": 3}])
def test_other_kinds_of_convolution_are_skipped_or_rounded_correctly(options: dict[str, Any]) -> None:
    start = keras.Input((32, 32, 4), batch_size=1)
    inner = keras.layers.Conv2D(8, 3, **options)(start)
    model = keras.Model(start, keras.layers.GlobalAveragePooling2D()(inner))
    random = np.random.default_rng(3)
    inputs = [(3 + random.normal(size=(1, 32, 32, 4))).astype(np.float32) for _ in range(4)]
    whole = Source(float32_of(model), inputs, 0, _never)
    rounded = len(whole.gptq.kernels)
    assert rounded == (1 if "strides" in options else 0)
    expected = outputs(whole.float32, inputs)
    np.testing.assert_allclose(outputs(int8(whole), inputs), expected, atol=0.03 * np.abs(expected).max())


def _never(method: str) -> bytes:
    raise AssertionError(method)
