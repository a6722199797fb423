"""Reading and checking networks that another program trained: a SavedModel, a Keras file or a float .tflite."""

import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from osteolite.edge.errors import ModelFileError
from osteolite.edge.inference.opening import open_session
from osteolite.edge.modelfile.archive import read_flatbuffer
from osteolite.edge.modelfile.graph import ModelGraph
from osteolite.edge.silence import quiet_stderr
from osteolite.train.keras import keras, tf

from ..variants.flatbuffer import fix_batch, pack, unpack
from ..variants.tracing import convert_function, variable_holder

Array = np.ndarray[Any, Any]
Shape = tuple[int, int, int]  # height, width, channels

_MAX_CONFIG = 64 * 1024 * 1024  # bytes


@dataclass(frozen=True)
class Network:
    """An image classifier."""

    flatbuffer: bytes  # float32, with a fixed batch of 1
    outputs: Callable[[Array], Array]  # runs the original: from an input tensor to (1, outputs)


def read_network(path: Path, shape: Shape) -> Network:
    """Read a network.

    Args:
        path: a SavedModel's folder, a Keras file, or a float .tflite.
        shape: shape of the input images.

    Raises:
        ModelFileError: the network is damaged, contains code, is quantised already, or does not map one
            image of this shape to one row of numbers.
    """
    if path.is_dir():
        return _saved_model(path, shape)
    return _tflite(path, shape) if path.suffix.lower() == ".tflite" else _keras(path, shape)


def _saved_model(path: Path, shape: Shape) -> Network:
    with _one_line_errors(path, "not a readable SavedModel"):
        loaded = tf.saved_model.load(str(path))
        signatures = dict(loaded.signatures)
    if "serving_default" not in signatures:
        raise ModelFileError(f"{path}: no signature serving_default; save the model with one")
    signature = signatures["serving_default"]
    inputs = signature.structured_input_signature[1]
    _check_ends(path, [spec.shape for spec in inputs.values()], len(signature.structured_outputs), shape)
    (name,) = inputs

    def compute(image: Any) -> dict[str, Any]:
        return {"output": next(iter(signature(**{name: image}).values()))}

    return _converted(path, compute, shape, loaded)


def _keras(path: Path, shape: Shape) -> Network:
    with _one_line_errors(path, "not a readable Keras file"):
        config, version = _keras_config(path)
        if "Lambda" in _class_names(config):  # its code would run while the file is read
            raise ValueError("it has a Lambda layer, which contains code; replace it by Keras layers")
        library = keras if version < 3 else _keras3()  # each version reads files of the other, but without the weights
        model = library.models.load_model(path, compile=False)
    _check_ends(path, [one.shape for one in model.inputs], len(model.outputs), shape)
    if version < 3:
        return _converted(path, lambda image: {"output": model(image, training=False)}, shape, variable_holder(model))
    with tempfile.TemporaryDirectory() as folder:  # tracing a Keras 3 model loses its weights
        model.export(folder, verbose=False)
        return _saved_model(Path(folder), shape)


def _keras_config(path: Path) -> tuple[Any, int]:
    """The model's configuration, and the major version of the Keras that wrote it."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            config, about = _entry(archive, "config.json"), _entry(archive, "metadata.json")
        version = json.loads(about)["keras_version"]
    else:
        with h5py.File(path) as file:
            config, version = file.attrs.get("model_config"), file.attrs.get("keras_version", "2")
    if config is None:
        raise ValueError("it contains only weights; save the whole model")
    return json.loads(config), int(str(version).split(".")[0])


def _entry(archive: zipfile.ZipFile, name: str) -> bytes:
    size = archive.getinfo(name).file_size
    if size > _MAX_CONFIG:
        raise ValueError(f"its {name} has {size:,} bytes; at most {_MAX_CONFIG:,} are allowed")
    return archive.read(name)


def _keras3() -> Any:
    import keras as keras3

    return keras3


def _class_names(config: Any) -> set[str]:
    if isinstance(config, dict):
        return {str(config.get("class_name", ""))}.union(*map(_class_names, config.values()))
    return set().union(*map(_class_names, config)) if isinstance(config, list) else set()


def _tflite(path: Path, shape: Shape) -> Network:
    flatbuffer = read_flatbuffer(path)
    with quiet_stderr():
        session = open_session(flatbuffer)  # reports a damaged file as a device would
    graph = ModelGraph.from_flatbuffer(flatbuffer)
    dtypes = {tensor.dtype for tensor in graph.tensors} & {"INT4", "INT8", "UINT8", "INT16", "FLOAT16"}
    if dtypes:
        raise ModelFileError(f"{path}: it is quantised already ({', '.join(sorted(dtypes))}); give the float32 file")
    _check_ends(path, [graph.inputs[0].shape], 1, shape)  # further outputs are allowed, such as an activation map
    model = unpack(flatbuffer)
    fix_batch(model)
    return Network(pack(model), lambda tensor: session.invoke(tensor).reshape(1, -1))


def _converted(path: Path, compute: Any, shape: Shape, resources: Any) -> Network:
    with _one_line_errors(path, "it cannot be converted to TFLite"):
        return Network(
            convert_function(compute, shape, resources), lambda tensor: np.asarray(compute(tensor)["output"])
        )


def _check_ends(path: Path, inputs: list[Any], outputs: int, shape: Shape) -> None:
    if len(inputs) != 1 or outputs != 1:
        raise ModelFileError(f"{path}: {len(inputs)} inputs and {outputs} outputs; one of each is needed")
    sizes = [None if size in (None, -1) else int(size) for size in inputs[0]]
    fits = len(sizes) == 4 and all(size in (None, wanted) for size, wanted in zip(sizes, (1, *shape), strict=True))
    if not fits:
        raise ModelFileError(
            f"{path}: its input is {tuple(sizes)}, but the recipe's preprocessing gives {(1, *shape)}; "
            "name a recipe with the size that it was trained with by --recipe"
        )


@contextmanager
def _one_line_errors(path: Path, problem: str) -> Iterator[None]:
    """Turn any failure of TensorFlow into a one-line error, and suppress its other output."""
    failure: Exception | None = None
    with quiet_stderr():
        try:
            yield
        except Exception as error:  # damaged files, unknown layers and contained code raise errors of any kind
            failure = error
    if failure is not None:
        reason = " ".join(str(failure).split())[:300]
        raise ModelFileError(f"{path}: {problem} ({reason})") from failure
