"""`FractureClassifier`: predictions, and refused models and images."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from osteolite.edge import FractureClassifier, Limits, OsteoliteError, Prediction
from osteolite.edge.errors import ImageTooLarge, ModelFileError, UnreadableImage
from osteolite.edge.inference.delegation import Delegation

SaveModel = Callable[..., Path]


def expected_probability(mean_level: float) -> float:
    """The probability of the tiny model: logit 4 * mean + 0.5, calibrated with slope 1.5 and intercept -0.25."""
    logit = 4 * (mean_level - 127.5) / 127.5 + 0.5
    return 1 / (1 + math.exp(-(1.5 * logit - 0.25)))


@pytest.fixture(scope="module")
def classifier(tiny_model: Path) -> FractureClassifier:
    return FractureClassifier(tiny_model)


@given(st.integers(0, 255))
def test_the_probability_is_the_calibrated_logit(classifier: FractureClassifier, level: int) -> None:
    prediction = classifier.predict(Image.new("L", (40, 40), level))
    assert prediction.fracture_probability == pytest.approx(expected_probability(level), abs=1e-5)
    assert prediction.label == ("fractured" if expected_probability(level) >= 0.4 else "normal")


def test_the_image_is_padded_with_black(classifier: FractureClassifier) -> None:
    prediction = classifier.predict(Image.new("L", (100, 50), 255))  # half of the input is black
    assert prediction.fracture_probability == pytest.approx(expected_probability(127.5), abs=1e-5)


def test_a_prediction_has_label_threshold_model_and_times(classifier: FractureClassifier) -> None:
    prediction = classifier.predict(Image.new("L", (40, 40), 255))
    assert isinstance(prediction, Prediction)
    assert (prediction.label, prediction.threshold, prediction.model) == ("fractured", 0.4, "tiny_float32")
    assert list(prediction.milliseconds) == ["read", "preprocess", "invoke", "check"]
    assert all(spent > 0 for spent in prediction.milliseconds.values())


def test_to_dict_has_the_keys_of_the_command_line() -> None:
    spent = {"read": 1.23456, "preprocess": 2.0, "invoke": 3.0}
    delegation = Delegation("auto", "xnnpack", 60, 70, "left to the CPU: 10 ADD")
    prediction = Prediction("normal", 0.123456789, 0.4, "m", spent, delegation, {"coloured": "it is"}, 0.98765)
    values = {
        "label": "normal",
        "fracture_probability": 0.123457,
        "threshold": 0.4,
        "warnings": {"coloured": "it is"},
        "unfamiliarity": 0.988,
        "model": "m",
        "delegate": {"asked": "auto", "applied": "xnnpack", "taken": 60, "of": 70, "reason": delegation.reason},
        "milliseconds": {"read": 1.235, "preprocess": 2.0, "invoke": 3.0},
    }
    assert prediction.to_dict() == values == json.loads(json.dumps(prediction.to_dict()))
    assert list(prediction.to_dict()) == list(values)


def test_a_probability_at_the_threshold_is_fractured(save_model: SaveModel, tiny: Any) -> None:
    half = {"probability_calibration": {"slope": 1, "intercept": 0}}
    flat = tiny.mean(weight=0.0, bias=0.0)  # its probability is 0.5, exactly
    for threshold, label in ((0.5, "fractured"), (math.nextafter(0.5, 1), "normal")):
        path = save_model(flat, threshold={"value": threshold}, **half)
        assert FractureClassifier(path).predict(Image.new("L", (9, 9))).label == label


def test_every_type_of_source_gives_the_same_probability(
    classifier: FractureClassifier, encode: Any, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 45), np.uint8)
    content = encode(Image.fromarray(noise), "PNG")
    (tmp_path / "scan").write_bytes(content)
    path = tmp_path / "scan"
    sources = [noise, np.dstack([noise] * 3), Image.fromarray(noise), content, path, str(path)]
    assert len({classifier.predict(source).fracture_probability for source in sources}) == 1


def test_predictions_do_not_depend_on_earlier_ones(classifier: FractureClassifier) -> None:
    pictures = [Image.new("L", (20, 20), level) for level in (10, 250, 100)]
    alone = [classifier.predict(picture).fracture_probability for picture in pictures]
    again = [classifier.predict(picture).fracture_probability for picture in reversed(pictures)]
    assert alone == again[::-1]
    assert len(set(alone)) == 3


def test_int8_agrees_with_float32(classifier: FractureClassifier, tiny_int8_model: Path) -> None:
    quantised = FractureClassifier(tiny_int8_model)
    for level in range(256):
        picture = Image.new("L", (32, 32), level)
        exact, close = (c.predict(picture) for c in (classifier, quantised))
        assert close.fracture_probability == pytest.approx(exact.fracture_probability, abs=0.025)
        if abs(exact.fracture_probability - exact.threshold) > 0.025:
            assert close.label == exact.label


def test_extreme_logits_give_probabilities_of_0_and_1(save_model: SaveModel, tiny: Any) -> None:
    steep = FractureClassifier(save_model(tiny.mean(weight=1e30, bias=0.0)))
    assert [steep.predict(Image.new("L", (9, 9), level)).fracture_probability for level in (0, 255)] == [0.0, 1.0]


def test_the_number_of_threads_is_used(tiny_model: Path) -> None:
    assert FractureClassifier(tiny_model, threads=1).session.threads == 1


# Refusing


@pytest.mark.parametrize("shape", [(1, 32, 31, 1), (1, 32, 32, 3), (2, 32, 32, 1)])
def test_a_model_with_another_input_than_described_is_refused(
    shape: tuple[int, ...], save_model: SaveModel, tiny: Any
) -> None:
    with pytest.raises(ModelFileError, match=r"its description says \(1, 32, 32, 1\)"):
        FractureClassifier(save_model(tiny.mean(shape)))


@pytest.mark.parametrize("flatbuffer", [{"outputs": 2}, {"outputs": 3}], ids=repr)
def test_a_model_with_several_logits_is_refused(flatbuffer: dict[str, Any], save_model: SaveModel, tiny: Any) -> None:
    with pytest.raises(ModelFileError, match="must be one logit"):
        FractureClassifier(save_model(tiny.mean(**flatbuffer)))


def test_a_model_without_the_described_features_is_refused(save_model: SaveModel, tiny: Any) -> None:
    limits = {"mean": [0.0], "scale": [1.0], "basis": [], "limit": 1.0}
    with pytest.raises(ModelFileError, match="has None features, but its description says 1"):
        FractureClassifier(save_model(tiny.mean(), out_of_distribution=limits))


@pytest.mark.parametrize("bias", [math.nan, math.inf, -math.inf])
def test_an_output_that_is_not_finite_raises(bias: float, save_model: SaveModel, tiny: Any) -> None:
    broken = FractureClassifier(save_model(tiny.mean(bias=bias), name="broken"))
    with pytest.raises(ModelFileError, match="broken: the model's output is"):
        broken.predict(Image.new("L", (9, 9)))


def test_a_damaged_model_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    content = bytearray(tiny_model.read_bytes())
    content[200] ^= 255
    (tmp_path / "damaged.tflite").write_bytes(content)
    with pytest.raises(ModelFileError, match="damaged"):
        FractureClassifier(tmp_path / "damaged.tflite")


def test_a_described_file_that_is_not_a_model_is_refused(save_model: SaveModel) -> None:
    with pytest.raises(ModelFileError, match="refuses the model"):
        FractureClassifier(save_model(b"\x20\0\0\0TFL3" + bytes(100)))


def test_images_that_cannot_be_read_are_refused(classifier: FractureClassifier, tiny_model: Path) -> None:
    with pytest.raises(UnreadableImage):
        classifier.predict(b"no image")
    with pytest.raises(ImageTooLarge):
        FractureClassifier(tiny_model, limits=Limits(max_pixels=99)).predict(Image.new("L", (10, 10)))


def test_errors_are_osteolite_errors(tmp_path: Path) -> None:
    with pytest.raises(OsteoliteError):
        FractureClassifier(tmp_path / "missing.tflite")
