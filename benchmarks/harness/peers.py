"""Other runtimes, used as their users would to get from a radiograph's file to a fracture probability.

Each takes the same model file. Except for LiteRT, none is a dependency of Osteolite; a peer that is not installed is
left out, and the results name it. The ONNX network is converted from the model file by

    python -m tf2onnx.convert --tflite MODEL.tflite --output MODEL.onnx --opset 13

which keeps quantised operators as pairs of QuantizeLinear and DequantizeLinear. Without an explicit path, the .onnx
file beside the model is used.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from osteolite.edge import FractureClassifier, ModelDescription, PreprocessingSpec
from osteolite.edge.errors import UsageError
from osteolite.edge.inference.engine import one_line, runtime_name
from osteolite.edge.inference.tensors import sigmoid
from osteolite.edge.machine import installed
from osteolite.edge.modelfile.archive import read_description

from .minimal import Tensor, fitted, logit, open_interpreter, tensor_of
from .records import OSTEOLITE

# On the same pixels a peer's integer kernels may round differently, which moves single probabilities by some
# hundredths. If the mean over the images differs by more than this, the peer computes a different network.
MEAN_DIFFERENCE = 0.02


@dataclass(frozen=True)
class Setup:
    """The input of all contenders."""

    model: str  # path of an Osteolite .tflite file
    threads: int
    onnx: str | None = None  # path of the same network in ONNX; None: the .onnx file beside the model

    @property
    def description(self) -> ModelDescription:
        """The model's description.

        Raises:
            ModelFileError: the file is not an Osteolite model.
            UsageError: the peers do not support the model's input.
        """
        description = read_description(self.model)
        spec = description.preprocessing
        known = PreprocessingSpec(spec.width, spec.height)  # RGB from -1 to 1, black bars, bilinear
        if not isinstance(description, ModelDescription) or spec != known:
            raise UsageError(
                f"{os.path.basename(self.model)}: peers run only single fracture models that take RGB from -1 to 1 "
                "with black bars; measure other files with `osteolite bench` without --peers"
            )
        return description


@dataclass(frozen=True)
class Contender:
    """A loaded peer. It is valid until its context ends."""

    answer: Callable[[str], float]  # maps a file to its fracture probability
    invoke: Callable[[Tensor], float] | None  # maps an input tensor to its logit; None: takes images only
    runtime: str  # package and version


@dataclass(frozen=True)
class Peer:
    """A runtime to compare with.

    `open` raises `LeftOut` if the peer cannot take part, and `UsageError` for a model that peers do not support.
    """

    note: str
    plain_pixels: bool  # it gets the same pixels as the peer `plain`, so its answers must agree with it
    open: Callable[[Setup], AbstractContextManager[Contender]]


class LeftOut(Exception):
    """A peer cannot take part. The message says why."""


def different_network(given: ArrayLike, expected: ArrayLike) -> str | None:
    """Check whether a peer that gets plain pixels computes the model.

    Args:
        given: the peer's probabilities, one per image.
        expected: the probabilities of the peer `plain` on the same images, or Osteolite's: its reduced decoding of
            large JPEGs changes them by less than the limit.

    Returns:
        Why the peer must compute a different network; None if rounding explains the differences.
    """
    mean = float(np.abs(np.subtract(given, expected)).mean())
    if mean <= MEAN_DIFFERENCE:  # False for NaN
        return None
    return f"different network: its answers to the same pixels differ by {mean:.4f} on average"


@contextmanager
def _osteolite(setup: Setup) -> Iterator[Contender]:
    with FractureClassifier(setup.model, setup.threads) as classifier:
        yield Contender(
            answer=lambda path: classifier.predict(path).fracture_probability,
            invoke=lambda tensor: float(classifier.session.invoke(tensor)[0, 0]),
            runtime=classifier.session.name,
        )


def _through_pillow(setup: Setup, network: Callable[[Tensor], float], takes_floats: bool, runtime: str) -> Contender:
    if not takes_floats:
        raise UsageError(f"{os.path.basename(setup.model)}: peers run only models that take float32")
    about = setup.description
    width, height = about.preprocessing.width, about.preprocessing.height

    def answer(path: str) -> float:
        return sigmoid(about.slope * network(tensor_of(fitted(path, width, height))) + about.intercept)

    return Contender(answer, network, runtime)


def _by_interpreter(setup: Setup, interpreter: Any, runtime: str) -> Contender:
    takes_floats = interpreter.get_input_details()[0]["dtype"] == np.float32
    return _through_pillow(setup, partial(logit, interpreter), takes_floats, runtime)


@contextmanager
def _plain(setup: Setup) -> Iterator[Contender]:
    yield _by_interpreter(setup, open_interpreter(setup.model, setup.threads), runtime_name())


@contextmanager
def _mediapipe(setup: Setup) -> Iterator[Contender]:
    media, tasks = _import("mediapipe"), _import("mediapipe.tasks.python")
    with _refusal("mediapipe"):
        options = tasks.vision.ImageClassifierOptions(base_options=tasks.BaseOptions(model_asset_path=setup.model))
        opened = tasks.vision.ImageClassifier.create_from_options(options)
    with opened as classifier:

        def answer(path: str) -> float:
            image = media.Image.create_from_file(path)
            if (
                image.image_format == media.ImageFormat.GRAY8
            ):  # MediaPipe reads it, but does not convert it for an RGB model
                grey = Image.fromarray(image.numpy_view().reshape(image.height, image.width))
                image = media.Image(image_format=media.ImageFormat.SRGB, data=np.asarray(grey.convert("RGB")))
            return float(classifier.classify(image).classifications[0].categories[0].score)

        yield Contender(answer, None, _version("mediapipe", media))


@contextmanager
def _onnxruntime(setup: Setup) -> Iterator[Contender]:
    runtime = _import("onnxruntime")
    path = setup.onnx or _beside(setup.model)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = setup.threads
    with _refusal("onnxruntime"):
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        given, place = session.get_inputs()[0], _logit_among([one.shape for one in session.get_outputs()])

    def network(tensor: Tensor) -> float:
        return float(session.run(None, {given.name: tensor})[place][0, 0])

    yield _through_pillow(setup, network, given.type == "tensor(float)", _version("onnxruntime", runtime))


def _beside(model: str) -> str:
    path = Path(model).with_suffix(".onnx")
    if not path.is_file():
        command = f"python -m tf2onnx.convert --tflite {Path(model).name} --output {path.name} --opset 13"
        raise LeftOut(f"there is no {path.name} beside the model; convert it there with: {command}")
    return str(path)


@contextmanager
def _openvino(setup: Setup) -> Iterator[Contender]:
    runtime = _import("openvino")
    settings = {
        "INFERENCE_NUM_THREADS": setup.threads,
        "PERFORMANCE_HINT": "LATENCY",
        # On some CPUs OpenVINO would choose bfloat16, which changes probabilities by 0.1 and more.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    with _refusal("openvino"):
        core = runtime.Core()
        compiled = core.compile_model(core.read_model(setup.model), "CPU", settings)
        port = compiled.outputs[_logit_among([list(one.shape) for one in compiled.outputs])]
        takes = compiled.inputs[0].get_element_type().get_type_name()

    def network(tensor: Tensor) -> float:
        return float(compiled(tensor)[port][0, 0])

    yield _through_pillow(setup, network, takes == "f32", _version("openvino", runtime))


def _logit_among(shapes: Sequence[Sequence[Any]]) -> int:
    """The index of the logit among a network's outputs, which may also be a map and features."""
    if [1, 1] not in shapes:
        raise LeftOut(f"none of its outputs is a single number: {', '.join(map(str, shapes))}")
    return [list(shape) for shape in shapes].index([1, 1])


@contextmanager
def _tensorflow(setup: Setup) -> Iterator[Contender]:
    runtime = _import("tensorflow")
    with _refusal("tensorflow"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
        interpreter = runtime.lite.Interpreter(model_path=setup.model, num_threads=setup.threads)
        interpreter.allocate_tensors()
    yield _by_interpreter(setup, interpreter, _version("tensorflow", runtime))


def _import(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise LeftOut(f"not installed; pip install {module.partition('.')[0]} ({one_line(error)})") from error


@contextmanager
def _refusal(package: str) -> Iterator[None]:
    """Turn any exception of a peer's library into `LeftOut`, naming the peer."""
    try:
        yield
    except LeftOut:
        raise
    except Exception as error:
        raise LeftOut(f"{package} refuses the model: {one_line(error)}") from error


def _version(package: str, module: Any) -> str:
    return f"{package} {installed(package) or module.__version__}"  # TensorFlow is distributed under several names


PLAIN = "plain"
PEERS = {
    OSTEOLITE: Peer("FractureClassifier.predict", False, _osteolite),
    PLAIN: Peer("Pillow: open, RGB, resize; LiteRT's interpreter; sigmoid", True, _plain),
    "mediapipe": Peer(
        "ImageClassifier; it stretches images, without black bars, so its answers differ; it chooses its own threads",
        False,
        _mediapipe,
    ),
    "onnxruntime": Peer("Pillow as in plain; the network converted by tf2onnx", True, _onnxruntime),
    "openvino": Peer("Pillow as in plain; the same file compiled for the CPU, in float32", True, _openvino),
    "tensorflow": Peer("Pillow as in plain; tf.lite.Interpreter on the same file", True, _tensorflow),
}
