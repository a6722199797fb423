"""The graph of a model file, and the operators that accelerators support."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from osteolite.edge.cli import cli
from osteolite.edge.errors import ModelFileError
from osteolite.edge.modelfile.compatibility import TARGETS, operator_support
from osteolite.edge.modelfile.graph import ModelGraph
from osteolite.edge.modelfile.shipped import shipped_model


def test_operators_parameters_and_bytes_of_a_small_model(tiny: Any) -> None:
    graph = ModelGraph.from_flatbuffer(tiny.mean(outputs=3))
    found = graph.to_dict()
    assert found["operators"] == {"MEAN": 1, "FULLY_CONNECTED": 1}
    assert (found["parameters"], found["multiply_adds"]) == (6, 3)  # three weights and three biases, one channel
    assert found["inputs"] == [{"name": "t0", "shape": [1, 32, 32, 1], "type": "FLOAT32"}]
    assert found["bytes"]["constants"] == 2 * 4 + 3 * 4 + 3 * 4
    assert sum(found["bytes"].values()) == len(tiny.mean(outputs=3))


def test_the_scale_of_a_quantised_input_is_given(tiny: Any) -> None:
    (first,) = ModelGraph.from_flatbuffer(tiny.mean_int8()).to_dict()["inputs"]
    assert (first["type"], first["zero_point"]) == ("INT8", -1)
    assert first["scale"] == pytest.approx(2 / 255)


@given(
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    channels=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_multiply_adds_of_convolutions(
    tiny: Any, kernel: tuple[int, int], channels: tuple[int, int], size: tuple[int, int]
) -> None:
    into, out = channels
    builder = tiny.graph()
    picture = builder.tensor((1, *size, into), np.float32)
    weights = builder.constant(np.zeros((out, *kernel, into)), np.float32)
    middle = builder.operator(tiny.operators.CONV_2D, [picture, weights], builder.tensor((1, *size, out), np.float32))
    per_channel = builder.constant(np.zeros((1, *kernel, out)), np.float32)
    last = builder.operator(
        tiny.operators.DEPTHWISE_CONV_2D, [middle, per_channel], builder.tensor((1, *size, out), np.float32)
    )
    graph = ModelGraph.from_flatbuffer(builder.to_bytes([picture], [last]))
    pixels, window = size[0] * size[1], kernel[0] * kernel[1]
    assert [one.multiply_adds for one in graph.operators] == [pixels * window * into * out, pixels * window * out]
    assert graph.parameters == window * into * out + window * out


def test_the_shipped_model_has_the_size_of_mobilenet() -> None:
    """MobileNetV2 without its ImageNet head, with folded batch normalisation, and one logit."""
    path = shipped_model()
    found = json.loads(CliRunner().invoke(cli, ["inspect", str(path), "--json"]).output)
    # The map: three layers that reduce features to 32 channels, two that mix them, and a weight for its maximum.
    map_layers = [(10 * 12, 1280 * 32), (20 * 24, 576 * 32), (40 * 48, 192 * 32), (40 * 48, 9 * 32 * 32), (40 * 48, 32)]
    biases = 4 * 32 + 1
    assert found["graph"]["parameters"] == 2_208_097 + sum(weights for _, weights in map_layers) + biases + 1
    # 300.8 million at 224 x 224 (Sandler et al., 2018), in proportion to the pixels, without the ImageNet head.
    assert found["graph"]["multiply_adds"] == pytest.approx(
        (300.8e6 - 1.28e6) * 320 * 384 / 224**2 + sum(places * weights for places, weights in map_layers), rel=0.001
    )
    assert found["name"] == path.stem
    assert found["targets"]["xnnpack"]["left"] == {}


@pytest.mark.parametrize("keep", [8, 100, 300])
def test_a_damaged_graph_is_refused(tiny: Any, keep: int) -> None:
    with pytest.raises(ModelFileError, match="cannot be read"):
        ModelGraph.from_flatbuffer(tiny.mean()[:keep])


@given(st.data())
def test_a_damaged_graph_raises_no_other_error(tiny: Any, data: st.DataObject) -> None:
    damaged = bytearray(tiny.mean())
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=8)):
        damaged[place] = data.draw(st.integers(0, 255))
    with suppress(ModelFileError):
        operator_support(ModelGraph.from_flatbuffer(bytes(damaged)))


# Operator support


def test_only_the_edge_tpu_does_not_support_float32(tiny: Any) -> None:
    found = operator_support(ModelGraph.from_flatbuffer(tiny.mean()))
    assert {name: one["taken"] for name, one in found.items()} == {**dict.fromkeys(TARGETS, 2), "edge_tpu": 0}
    assert found["edge_tpu"]["left"] == {
        "MEAN: float arithmetic; only int8 is supported": 1,
        "FULLY_CONNECTED: float arithmetic; only int8 is supported": 1,
    }


def test_the_edge_tpu_supports_an_int8_model(tiny: Any) -> None:
    assert operator_support(ModelGraph.from_flatbuffer(tiny.mean_int8()))["edge_tpu"] == {
        "target": "Edge TPU, by its compiler",
        "taken": 2,
        "of": 2,
        "left": {},
    }
    assert operator_support(ModelGraph.from_flatbuffer(tiny.mean_int8(float_ends=True)))["edge_tpu"]["taken"] == 2


def test_an_unlisted_operator_is_left_with_that_reason(tiny: Any) -> None:
    graph = tiny.graph()
    a = graph.tensor((1, 4), np.float32)
    b = graph.operator(tiny.operators.SIN, [a], graph.tensor((1, 4), np.float32))
    found = operator_support(ModelGraph.from_flatbuffer(graph.to_bytes([a], [b])))
    assert found["gpu"]["left"] == {"SIN: not among its operators": 1}
    assert found["browser"]["taken"] == 1


# The command


def test_inspect_shows_a_file_of_another_tool_without_a_description(tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "foreign.tflite").write_bytes(tiny.mean())
    result = CliRunner().invoke(cli, ["inspect", str(tmp_path / "foreign.tflite"), "--json"])
    assert result.exit_code == 0, result.output
    assert set(json.loads(result.output)) == {"graph", "targets"}


@pytest.mark.parametrize("content", [b"no model at all", b"\x08\0\0\0TFL3" + b"\xff" * 60, b""])
def test_inspect_refuses_a_file_that_is_not_a_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tflite").write_bytes(content)
    result = CliRunner().invoke(cli, ["inspect", str(tmp_path / "x.tflite")])
    assert result.exit_code == 1
    assert "Traceback" not in result.output
