"""The variants of the phantoms' model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from osteolite.convert.gate.error_by_operator import OperatorOutputs
from osteolite.convert.variants.activation_ranges import with_ranges
from osteolite.convert.variants.flatbuffer import operator_outputs
from osteolite.convert.variants.variants import VARIANTS, Source, quantise_int8
from osteolite.edge.inference.opening import open_session
from osteolite.edge.inference.tensors import Tensor, quantise
from osteolite.edge.preprocess import grey_levels
from osteolite.train.keras import keras, tf
from osteolite.train.networks.class_activation import activation_mapper, last_feature_map
from osteolite.train.runs.run_folder import Run

QUANTISED = ("int8", "int8_int8", "int8_uint8", "int16x8")


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "ends"), [("int8_int8", np.int8), ("int8_uint8", np.uint8)])
def test_sessions_of_integer_variants_take_and_give_floats(
    files: dict[str, bytes], source: Source, variant: str, ends: type
) -> None:
    session, plain = open_session(files[variant]), open_session(files["int8"])
    interpreter = OperatorOutputs(files[variant]).interpreter
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert (taken["dtype"], given["dtype"]) == (ends, ends)
    step = given["quantization"][0]
    for tensor in source.calibration[:10]:
        assert abs(float(session.invoke(tensor)[0, 0] - plain.invoke(tensor)[0, 0])) <= step


@pytest.mark.slow
@pytest.mark.parametrize("variant", QUANTISED)
def test_grey_values_are_quantised_as_by_the_files_own_operator(
    files: dict[str, bytes], phantom_run: Path, variant: str
) -> None:
    """A file with float input has a QUANTIZE operator to compare with; for integer input, the nearest value counts."""
    graph, levels = OperatorOutputs(files[variant]), grey_levels(Run.open(phantom_run).recipe.preprocessing)
    details = graph.interpreter.get_input_details()[0]
    for level in levels.astype(np.float32):
        image = np.full(details["shape"], level, np.float32)
        graph.run(image)
        if graph.operators[0] == "QUANTIZE":
            name = graph.outputs[0]
            assert (graph.raw_value(name) == quantise(image, graph.tensors[name])).all()
        else:
            scale, zero_point = details["quantization"]
            dequantised = (quantise(image, details).astype(np.float32) - zero_point) * scale
            ends = np.iinfo(details["dtype"])  # calibration data of few images may not reach white
            clipped = np.clip(image, (ends.min - zero_point) * scale, (ends.max - zero_point) * scale)
            assert np.abs(dequantised - clipped).max() <= scale / 2 * 1.001


@pytest.mark.slow
def test_variants_share_one_measurement_of_ranges(source: Source) -> None:
    measured: list[int] = []

    def counted(flatbuffer: bytes, tensors: list[Tensor]) -> bytes:
        measured.append(len(tensors))
        return with_ranges(flatbuffer, tensors)

    own = replace(source, measure_ranges=counted)
    for name in ("int8", "int8_int8", "int8_uint8"):
        VARIANTS[name].write(own)
    assert measured == [len(source.calibration)]


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_outputs_the_logit_and_a_map_with_this_mean(
    files: dict[str, bytes], source: Source, variant: str
) -> None:
    """The map's mean is the logit, up to the variant's rounding."""
    session = open_session(files[variant])
    assert session.output_shape == (1, 1)
    outputs = [session.run(tensor) for tensor in source.calibration[::4]]
    maps = [one.activation_map for one in outputs if one.activation_map is not None]
    assert len(maps) == len(outputs)
    logits = np.array([float(one.values[0, 0]) for one in outputs])
    means = np.array([one.mean() for one in maps])
    assert np.abs(means - logits).max() < (1e-4 if variant == "float32" else 0.15 * np.ptp(logits))


@pytest.mark.slow
def test_the_float32_map_is_the_class_activation_map(
    files: dict[str, bytes], source: Source, phantom_run: Path
) -> None:
    model = Run.open(phantom_run).model()
    mapper = activation_mapper(model, [last_feature_map(model)], "cam")
    session, bias = open_session(files["float32"]), float(model.layers[-1].get_weights()[1][0])
    for tensor in source.calibration[:5]:
        logit, (expected,) = mapper(tensor)
        outputs = session.run(tensor)
        assert outputs.activation_map is not None
        assert float(outputs.values[0, 0]) == pytest.approx(logit, abs=1e-4)
        assert np.abs(outputs.activation_map - bias - expected).max() < 1e-4


@pytest.mark.slow
def test_the_float32_features_are_those_of_the_middle_layer(
    files: dict[str, bytes], source: Source, phantom_run: Path
) -> None:
    model = Run.open(phantom_run).model()
    (layer,) = [one for one in model.layers if one.name == "block_6_expand_relu"]
    network = keras.Model(model.input, layer.output)
    session = open_session(files["float32"])
    for tensor in source.calibration[:5]:
        expected = np.asarray(network(tensor, training=False)).mean(axis=(1, 2))[0]
        assert np.abs(session.run(tensor).features - expected).max() < 1e-4


@pytest.mark.slow
def test_selective_int8_keeps_the_most_sensitive_operators_in_float32(source: Source) -> None:
    """Its logits are nearer to float32's than those of int8, or of int8 with the last six operators in float32."""

    def error(flatbuffer: bytes) -> float:
        ours, theirs = open_session(flatbuffer), open_session(source.float32)
        return float(np.mean([np.square(ours.invoke(t) - theirs.invoke(t)) for t in source.calibration]))

    chosen = error(VARIANTS["selective_int8"].write(source))
    plain = error(VARIANTS["int8"].write(source))
    names = operator_outputs(source.float32_with_ranges)
    last = error(quantise_int8(source, tf.float32, names[-6:]))
    assert chosen < plain
    assert chosen < last
