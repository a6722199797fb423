"""What a model file is made of, against counts by hand and, on a real network, against Keras."""

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


def test_a_mean_and_a_dense_layer(tiny: Any) -> None:
    graph = ModelGraph.of(tiny.mean(outputs=3))
    found = graph.to_dict()
    assert found["operators"] == {"MEAN": 1, "FULLY_CONNECTED": 1}
    assert (found["parameters"], found["multiply_adds"]) == (6, 3)  # three weights and biases, one channel
    assert found["inputs"] == [{"name": "t0", "shape": [1, 32, 32, 1], "type": "FLOAT32"}]
    assert found["bytes"]["constants"] == 2 * 4 + 3 * 4 + 3 * 4
    assert sum(found["bytes"].values()) == len(tiny.mean(outputs=3))


def test_scales_of_a_quantised_input_are_told(tiny: Any) -> None:
    (given_in,) = ModelGraph.of(tiny.mean_int8()).to_dict()["inputs"]
    assert (given_in["type"], given_in["zero_point"]) == ("INT8", -1)
    assert given_in["scale"] == pytest.approx(2 / 255)


@given(
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    channels=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_multiply_adds_of_convolutions(
    tiny: Any, kernel: tuple[int, int], channels: tuple[int, int], size: tuple[int, int]
) -> None:
    into, out = channels
    graph = tiny.graph()
    picture = graph.tensor((1, *size, into), np.float32)
    weights = graph.constant(np.zeros((out, *kernel, into)), np.float32)
    middle = graph.operator(tiny.operators.CONV_2D, [picture, weights], graph.tensor((1, *size, out), np.float32))
    per_channel = graph.constant(np.zeros((1, *kernel, out)), np.float32)
    last = graph.operator(
        tiny.operators.DEPTHWISE_CONV_2D, [middle, per_channel], graph.tensor((1, *size, out), np.float32)
    )
    graph = ModelGraph.of(graph.to_bytes([picture], [last]))
    pixels, window = size[0] * size[1], kernel[0] * kernel[1]
    assert [one.multiply_adds for one in graph.operators] == [pixels * window * into * out, pixels * window * out]
    assert graph.parameters == window * into * out + window * out


def test_the_shipped_model_has_mobilenets_numbers() -> None:
    """MobileNetV2 without the head for ImageNet, its batch norm folded into the convolutions, and one logit."""
    path = shipped_model()
    found = json.loads(CliRunner().invoke(cli, ["inspect", str(path), "--json"]).output)
    # The map: three layers that bring features to 32 channels, two that mix them, and what its strongest place weighs.
    small = [(10 * 12, 1280 * 32), (20 * 24, 576 * 32), (40 * 48, 192 * 32), (40 * 48, 9 * 32 * 32), (40 * 48, 32)]
    biases = 4 * 32 + 1
    assert found["graph"]["parameters"] == 2_208_097 + sum(weights for _, weights in small) + biases + 1
    # 300.8 million at 224 x 224 (Sandler et al., 2018), as many more as there are pixels, one head less.
    assert found["graph"]["multiply_adds"] == pytest.approx(
        (300.8e6 - 1.28e6) * 320 * 384 / 224**2 + sum(places * weights for places, weights in small), rel=0.001
    )
    assert found["name"] == path.stem
    assert found["targets"]["xnnpack"]["left"] == {}


@pytest.mark.parametrize("keep", [8, 100, 300])
def test_a_damaged_graph_is_refused(tiny: Any, keep: int) -> None:
    with pytest.raises(ModelFileError, match="cannot be read"):
        ModelGraph.of(tiny.mean()[:keep])


@given(st.data())
def test_damage_never_ends_in_another_error(tiny: Any, data: st.DataObject) -> None:
    spoilt = bytearray(tiny.mean())
    for place in data.draw(st.lists(st.integers(0, len(spoilt) - 1), min_size=1, max_size=8)):
        spoilt[place] = data.draw(st.integers(0, 255))
    with suppress(ModelFileError):
        operator_support(ModelGraph.of(bytes(spoilt)))


# Targets


def test_floats_are_left_by_the_edge_tpu_alone(tiny: Any) -> None:
    found = operator_support(ModelGraph.of(tiny.mean()))
    assert {name: one["taken"] for name, one in found.items()} == {**dict.fromkeys(TARGETS, 2), "edge_tpu": 0}
    assert found["edge_tpu"]["left"] == {
        "MEAN: float arithmetic; it takes int8 alone": 1,
        "FULLY_CONNECTED: float arithmetic; it takes int8 alone": 1,
    }


def test_an_edge_tpu_takes_what_is_int8_to_its_ends(tiny: Any) -> None:
    assert operator_support(ModelGraph.of(tiny.mean_int8()))["edge_tpu"] == {
        "target": "Edge TPU, by its compiler",
        "taken": 2,
        "of": 2,
        "left": {},
    }
    assert operator_support(ModelGraph.of(tiny.mean_int8(float_ends=True)))["edge_tpu"]["taken"] == 2


def test_an_operator_that_is_on_no_list_is_left_with_that_reason(tiny: Any) -> None:
    graph = tiny.graph()
    a = graph.tensor((1, 4), np.float32)
    b = graph.operator(tiny.operators.SIN, [a], graph.tensor((1, 4), np.float32))
    found = operator_support(ModelGraph.of(graph.to_bytes([a], [b])))
    assert found["gpu"]["left"] == {"SIN: not among its operators": 1}
    assert found["browser"]["taken"] == 1


# The command


def test_a_file_of_another_tool_is_shown_without_a_description(tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "foreign.tflite").write_bytes(tiny.mean())
    result = CliRunner().invoke(cli, ["inspect", str(tmp_path / "foreign.tflite"), "--json"])
    assert result.exit_code == 0, result.output
    assert set(json.loads(result.output)) == {"graph", "targets"}


@pytest.mark.parametrize("content", [b"no model at all", b"\x08\0\0\0TFL3" + b"\xff" * 60, b""])
def test_what_is_no_model_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tflite").write_bytes(content)
    result = CliRunner().invoke(cli, ["inspect", str(tmp_path / "x.tflite")])
    assert result.exit_code == 1
    assert "Traceback" not in result.output
