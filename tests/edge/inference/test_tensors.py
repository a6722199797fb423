"""Quantisation as the interpreter does it, and the logistic function."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from osteolite.edge.inference.engine import runtime_module
from osteolite.edge.inference.tensors import Details, Tensor, dequantise, quantise, sigmoid

INTEGERS = [np.int8, np.uint8, np.int16]


def grey_tensor(mean: float, std: float) -> Tensor:
    """All 256 grey values as an input tensor of 16 x 16 pixels."""
    levels: Tensor = (np.arange(256, dtype=np.float32) - np.float32(mean)) / np.float32(std)
    return levels.reshape(1, 16, 16, 1)


def quantised_by_interpreter(tensor: Tensor, dtype: type, scale: float, zero_point: int, tiny: Any) -> tuple[Any, Any]:
    """Run the interpreter's QUANTIZE operator; return its output and the details of the output tensor."""
    content = tiny.quantize(dtype, scale, zero_point, tensor.shape)
    interpreter = runtime_module()[0].Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tensor)
    interpreter.invoke()
    details = interpreter.get_output_details()[0]
    return interpreter.get_tensor(details["index"]), details


@given(
    dtype=st.sampled_from(INTEGERS),
    std=st.sampled_from([127.5, 255.0, 1.0, 61.7]),
    mean=st.sampled_from([127.5, 0.0, 118.3]),
    steps=st.one_of(st.sampled_from([127.0, 127.5, 254.0, 255.0, 32767.0]), st.floats(20, 1000)),
    zero_point=st.integers(-128, 255),
)
def test_quantise_agrees_with_the_interpreter(
    tiny: Any, dtype: type, std: float, mean: float, steps: float, zero_point: int
) -> None:
    limits = np.iinfo(dtype)
    assume(limits.min <= zero_point <= limits.max)
    tensor = grey_tensor(mean, std)
    scale = float(tensor.max() - tensor.min()) / steps
    expected, details = quantised_by_interpreter(tensor, dtype, scale, 0 if dtype is np.int16 else zero_point, tiny)
    quantised = quantise(tensor, details)
    assert quantised.dtype == dtype
    np.testing.assert_array_equal(quantised, expected)


@pytest.mark.parametrize(("dtype", "zero_point"), [(np.int8, -1), (np.int8, 0), (np.uint8, 127), (np.int16, 0)])
@pytest.mark.parametrize(
    "scale", [2 / 255, 0.00784313678741455, 2**-7, 1 / 255]
)  # the second is the float32 below 2 / 255
def test_quantise_agrees_with_the_interpreter_on_ties(dtype: type, zero_point: int, scale: float, tiny: Any) -> None:
    half_steps = ((np.arange(256, dtype=np.float32) - np.float32(127.5)) * np.float32(scale)).reshape(1, 16, 16, 1)
    for tensor in (half_steps, grey_tensor(127.5, 127.5)):
        expected, details = quantised_by_interpreter(tensor, dtype, scale, zero_point, tiny)
        np.testing.assert_array_equal(quantise(tensor, details), expected)


def test_quantise_rounds_ties_to_even_before_adding_the_zero_point() -> None:
    ties = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], np.float32)
    for zero_point in (0, -1, 7):
        rounded = quantise(ties, {"dtype": np.int8, "quantization": (1.0, zero_point)})
        assert (rounded - zero_point).tolist() == [-2, -2, 0, 0, 2, 2]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_quantise_saturates(dtype: type) -> None:
    limits = np.iinfo(dtype)
    quantised = quantise(np.array([-1e9, 1e9], np.float32), {"dtype": dtype, "quantization": (0.01, 3)})
    assert quantised.tolist() == [limits.min, limits.max]


def test_float_tensors_are_not_changed() -> None:
    tensor = grey_tensor(127.5, 127.5)
    details: Details = {"dtype": np.float32, "quantization": (0.0, 0)}
    np.testing.assert_array_equal(quantise(tensor, details), tensor)
    np.testing.assert_array_equal(dequantise(tensor, details), tensor)


@given(st.sampled_from(INTEGERS), st.floats(1e-4, 10), st.integers(-100, 100), st.integers(-100, 100))
def test_quantise_inverts_dequantise(dtype: type, scale: float, zero_point: int, step: int) -> None:
    details: Details = {"dtype": dtype, "quantization": (scale, abs(zero_point) if dtype is np.uint8 else zero_point)}
    value: np.ndarray[Any, Any] = np.array([abs(step) if dtype is np.uint8 else step], dtype)
    real = dequantise(value, details)
    assert real.dtype == np.float32
    assert real[0] == pytest.approx((int(value[0]) - details["quantization"][1]) * scale, rel=1e-5)
    assert quantise(real, details) == value


@given(st.floats(-30, 30))
def test_sigmoid_is_the_logistic_function(value: float) -> None:
    assert sigmoid(value) == pytest.approx(1 / (1 + math.exp(-value)), rel=1e-12)
    assert sigmoid(-value) == pytest.approx(1 - sigmoid(value), abs=1e-12)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_sigmoid_increases_from_0_to_1_without_overflow(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= sigmoid(low) <= sigmoid(high) <= 1
