"""Reading networks that another program wrote, and refusing unreadable ones."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osteolite.convert.sources.networks import read_network
from osteolite.edge.errors import ModelFileError
from osteolite.edge.inference.opening import open_session
from osteolite.train.keras import keras

SHAPE = (32, 32, 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # from Keras 3 while saving
def test_a_keras_3_network_converts(network: Callable[..., Any], tmp_path: Path) -> None:
    import keras as keras3

    model = network(library=keras3)
    model.save(tmp_path / "three.keras")
    found = read_network(tmp_path / "three.keras", SHAPE)
    tensor = np.random.default_rng(0).uniform(-1, 1, (1, *SHAPE)).astype(np.float32)
    expected = np.asarray(model(tensor))
    assert found.outputs(tensor) == pytest.approx(expected, abs=1e-5)
    assert open_session(found.flatbuffer).invoke(tensor) == pytest.approx(expected, abs=1e-5)


def lambda_file(path: Path) -> Path:
    picture = keras.layers.Input(SHAPE)
    model = keras.Model(
        picture, keras.layers.Dense(1)(keras.layers.Flatten()(keras.layers.Lambda(lambda x: x)(picture)))
    )
    model.save(path.with_suffix(".h5"))
    return path.with_suffix(".h5")


def oversized_config(path: Path) -> Path:
    """A file of some 70 kB whose config.json unpacks to more than the limit."""
    with zipfile.ZipFile(path.with_suffix(".keras"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (70 * 1024 * 1024))
    return path.with_suffix(".keras")


def two_inputs(path: Path) -> Path:
    first, second = keras.layers.Input(SHAPE), keras.layers.Input(SHAPE)
    model = keras.Model([first, second], keras.layers.Dense(1)(keras.layers.Flatten()(first + second)))
    model.save(path.with_suffix(".h5"))
    return path.with_suffix(".h5")


def weights_only(path: Path) -> Path:
    model = keras.Sequential([keras.layers.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.save_weights(str(path.with_suffix(".h5")))
    return path.with_suffix(".h5")


def other_size(path: Path) -> Path:
    model = keras.Sequential([keras.layers.Input((64, 64, 3)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.save(path.with_suffix(".h5"))
    return path.with_suffix(".h5")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda_file, "it has a Lambda layer, which contains code"),
        (two_inputs, "2 inputs and 1 outputs; one of each is needed"),
        (oversized_config, "its config.json has 73,400,320 bytes; at most 67,108,864 are allowed"),
        (weights_only, "it contains only weights; save the whole model"),
        (other_size, r"its input is \(None, 64, 64, 3\), but the recipe's preprocessing gives \(1, 32, 32, 1\)"),
    ],
)
def test_an_unsupported_keras_file_is_refused_with_a_reason(
    make: Callable[[Path], Path], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelFileError, match=reason):
        read_network(make(tmp_path / "net"), SHAPE)


@pytest.mark.parametrize("suffix", [".tflite", ".h5", ".keras"])
@pytest.mark.parametrize(
    "content", [b"", b"hello, I am a text file\n" * 20, bytes(3000)], ids=["empty", "text", "zeros"]
)
def test_a_file_that_is_no_network_is_refused_in_one_line(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = (tmp_path / "net").with_suffix(suffix)
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as error:
        read_network(path, SHAPE)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_truncated_or_quantised_tflite_is_refused(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    whole = tiny.mean()
    for length in range(20, len(whole) - 1, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            read_network(path, SHAPE)
    path.write_bytes(tiny.mean_int8(float_ends=True))
    with pytest.raises(ModelFileError, match=r"quantised already \(INT8\); give the float32 file"):
        read_network(path, SHAPE)
    path.write_bytes(whole)
    assert read_network(path, SHAPE).outputs(np.zeros((1, *SHAPE), np.float32)) == pytest.approx(0.5)


def test_a_damaged_saved_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"no protobuf")
    with pytest.raises(ModelFileError, match="not a readable SavedModel"):
        read_network(tmp_path, SHAPE)
