"""The variants of one trace of the phantoms' model, and where their error starts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from osteolite.convert.convert import convert
from osteolite.convert.gate.error_by_operator import _Layers, operator_errors, worst
from osteolite.convert.sources.subject import Subject
from osteolite.convert.variants import variants as variants_module
from osteolite.convert.variants.variants import VARIANTS, Source
from osteolite.edge.inference.opening import open_session
from osteolite.edge.inference.tensors import quantise
from osteolite.edge.prediction.classifier import FractureClassifier
from osteolite.edge.preprocess import grey_levels
from osteolite.train.keras import keras, tf
from osteolite.train.networks.class_activation import activation_mapper, last_feature_map
from osteolite.train.runs.run_folder import Run

QUANTISED = ("int8", "int8_int8", "int8_uint8", "int16x8")


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "ends"), [("int8_int8", np.int8), ("int8_uint8", np.uint8)])
def test_integer_ends_take_and_give_integers_that_nobody_sees(
    files: dict[str, bytes], source: Source, variant: str, ends: type
) -> None:
    session, plain = open_session(files[variant]), open_session(files["int8"])
    assert (session._input["dtype"], session._outputs[0]["dtype"]) == (ends, ends)
    step = session._outputs[0]["quantization"][0]
    for tensor in source.calibration[:10]:
        assert abs(float(session.invoke(tensor)[0, 0] - plain.invoke(tensor)[0, 0])) <= step


@pytest.mark.slow
@pytest.mark.parametrize("variant", QUANTISED)
def test_every_grey_value_is_quantised_as_the_files_own_operator_does(
    files: dict[str, bytes], phantom_run: Path, variant: str
) -> None:
    """The file with float ends holds a QUANTIZE; the scale of the others' input is the same or stands in the file."""
    layers, levels = _Layers(files[variant]), grey_levels(Run.open(phantom_run).recipe.preprocessing)
    details = layers._interpreter.get_input_details()[0]
    for level in levels.astype(np.float32):
        image = np.full(details["shape"], level, np.float32)
        layers.run(image)
        if layers.operators[0] == "QUANTIZE":
            inside = layers.tensors[layers.results[0]]
            assert (layers._interpreter.get_tensor(inside["index"]) == quantise(image, inside)).all()
        else:  # of an integer input the value is ours: what it stands for is the nearest there is
            scale, zero_point = details["quantization"]
            stands_for = (quantise(image, details).astype(np.float32) - zero_point) * scale
            ends = np.iinfo(details["dtype"])  # a few images may not reach white
            reached = np.clip(image, (ends.min - zero_point) * scale, (ends.max - zero_point) * scale)
            assert np.abs(stands_for - reached).max() <= scale / 2 * 1.001


@pytest.mark.slow
def test_variants_share_one_trace_and_one_measurement_of_ranges(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces: list[str] = []
    measured: list[int] = []
    real = variants_module.with_ranges
    monkeypatch.setattr(variants_module, "with_ranges", lambda *given: measured.append(len(given[1])) or real(*given))
    counted = replace(subject, float32=lambda: traces.append("trace") or subject.float32())
    names = ("float32", "float16", "dynamic", "int8", "int8_int8", "int8_uint8", "weight_only_int8")
    convert(counted, names, tmp_path)
    assert traces == ["trace"]
    assert measured == [len(subject.calibration.tensors)]


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_gives_the_logit_first_and_then_its_map(
    files: dict[str, bytes], source: Source, variant: str
) -> None:
    """The map's mean is the logit, up to the rounding of the variant."""
    session = open_session(files[variant])
    assert session.output_shape == (1, 1)
    outputs = [session.run(tensor) for tensor in source.calibration[::4]]
    logits = np.array([float(one.values[0, 0]) for one in outputs])
    means = np.array([one.activation_map.mean() for one in outputs])
    assert np.abs(means - logits).max() < (1e-4 if variant == "float32" else 0.15 * np.ptp(logits))


@pytest.mark.slow
def test_the_map_of_the_float_file_is_the_class_activation_map(
    files: dict[str, bytes], source: Source, phantom_run: Path
) -> None:
    model = Run.open(phantom_run).model()
    mapper = activation_mapper(model, [last_feature_map(model)], "cam")
    session, bias = open_session(files["float32"]), float(model.layers[-1].get_weights()[1][0])
    for tensor in source.calibration[:5]:
        logit, (expected,) = mapper(tensor)
        outputs = session.run(tensor)
        assert float(outputs.values[0, 0]) == pytest.approx(logit, abs=1e-4)
        assert np.abs(outputs.activation_map - bias - expected).max() < 1e-4


@pytest.mark.slow
def test_the_features_of_the_float_file_are_those_of_the_middle_of_the_network(
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
def test_the_selective_variant_keeps_what_costs_most_in_float(source: Source) -> None:
    """Its answers are nearer to the float32 file's than those with none kept, or with the last as many."""

    def error(flatbuffer: bytes) -> float:
        ours, theirs = open_session(flatbuffer), open_session(source.float32)
        return float(np.mean([np.square(ours.invoke(t) - theirs.invoke(t)) for t in source.calibration]))

    chosen = error(VARIANTS["selective_int8"].write(source))
    plain = error(VARIANTS["int8"].write(source))
    names = variants_module._results(source.calibrated)
    last = error(variants_module._int8(source, tf.float32, names[-6:]))
    assert chosen < plain
    assert chosen < last


@pytest.mark.slow
def test_a_shift_of_the_logit_is_taken_back_in_the_probability(subject: Subject, tmp_path: Path) -> None:
    """Whatever a quantised network adds to all of its logits, its probabilities are right on the mean."""
    (result,) = convert(subject, ("int8_int8",), tmp_path)
    assert result.file is not None
    classifier = FractureClassifier(result.file)
    about = classifier.description.details["probability_calibration"]
    before = subject.description["probability_calibration"]
    assert about["intercept"] == pytest.approx(before["intercept"] - before["slope"] * about["logit_shift"])
    reference = open_session(subject.float32())
    seen = subject.calibration.tensors
    shift = np.mean([classifier.session.invoke(t) for t in seen]) - np.mean([reference.invoke(t) for t in seen])
    assert about["logit_shift"] == pytest.approx(float(shift), abs=1e-5)
    corrected = classifier.description.slope * about["logit_shift"] + classifier.description.intercept
    assert corrected == pytest.approx(before["intercept"])


@pytest.mark.slow
def test_the_float_file_has_no_error_and_the_others_have_some(files: dict[str, bytes], source: Source) -> None:
    inputs = source.calibration[:4]
    assert max(one.error for one in operator_errors(files["float32"], files["float32"], inputs)) == 0.0
    for name in ("int8", "int16x8", "dynamic", "weight_only_int8"):
        found = operator_errors(files["float32"], files[name], inputs)
        assert found[-1].error > 0.0
        assert all(0.0 <= one.added <= one.error for one in found)


@pytest.mark.slow
def test_the_operator_that_was_spoilt_is_named(source: Source) -> None:
    """Of a file whose ranges come from pictures far too faint, the first operators clip."""
    faint = replace(source, calibration=[tensor * np.float32(0.02) for tensor in source.calibration])
    found = operator_errors(source.float32, VARIANTS["int8"].write(faint), source.calibration[:4])
    assert max(one.added for one in worst(found)) > 0.3
    assert "Conv1" in found[0].tensor
    assert found[0].added > 0.3


@pytest.mark.slow
def test_a_refusal_names_reason_operators_and_what_to_try(tmp_path: Path, subject: Subject) -> None:
    faint = [tensor * np.float32(0.02) for tensor in subject.calibration.tensors]
    spoilt = replace(subject, calibration=replace(subject.calibration, tensors=faint))
    (result,) = convert(spoilt, ("int8",), tmp_path)
    assert result.file is None
    for words in ("of the decisions agree", "the error starts at", "of its signal)", "take selective_int8 or qat_int8"):
        assert words in result.reasons
    assert list(tmp_path.glob("*.tflite")) == []


@pytest.mark.slow
def test_calibration_data_of_another_range_is_warned_of(
    tmp_path: Path, subject: Subject, capsys: pytest.CaptureFixture[str]
) -> None:
    faint = [tensor * np.float32(0.3) for tensor in subject.calibration.tensors]
    spoilt = replace(subject, calibration=replace(subject.calibration, tensors=faint))
    convert(spoilt, ("int8",), tmp_path)
    text = " ".join(capsys.readouterr().err.split())
    assert "validation images leave the range of the calibration data by" in text
    about = json.loads((tmp_path / "conversion.json").read_text())["quantisation_calibration"]
    spoilt_share = about["excess"]["share"]
    assert spoilt_share > 0.25
    assert len(about["warnings"]) == 1
    convert(subject, ("int8",), tmp_path)
    about = json.loads((tmp_path / "conversion.json").read_text())["quantisation_calibration"]
    assert about["excess"]["share"] < spoilt_share / 3
    assert len(about["warnings"]) == (about["excess"]["share"] >= 0.25)  # of few phantoms it may be
