"""Other ways from a radiograph's file to a fracture probability, as users of other tools write them.

Each takes the same model file. MediaPipe and ONNX Runtime are no part of Osteolite; a peer that is not
installed is left out and named. An ONNX network is made of the model file by

    python -m tf2onnx.convert --tflite MODEL.tflite --output MODEL.onnx --opset 13

which keeps quantised operators quantised, as pairs of QuantizeLinear and DequantizeLinear.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from PIL import Image

from osteolite.edge import FractureClassifier, ModelDescription, PreprocessingSpec
from osteolite.edge.errors import UsageError
from osteolite.edge.modelfile import read_description
from osteolite.edge.runtime import sigmoid

from .bare import Tensor, fitted, logit, open_interpreter, tensor_of

Answer = Callable[[str], float]  # from a file to its fracture probability

# On the same pixels a peer's integer kernels may round otherwise, which moves single probabilities by some
# hundredths; where the mean over the images moves further than this, it computes another network.
MEAN_DIFFERENCE = 0.02


@dataclass(frozen=True)
class Setup:
    """What all contenders are given."""

    model: str  # a .tflite file of this package
    threads: int
    onnx: str | None = None  # the same network as ONNX Runtime reads it

    @property
    def description(self) -> ModelDescription:
        """Of the model.

        Raises:
            ModelFileError: no model file of this package.
            UsageError: a model whose input the peers do not know.
        """
        description = read_description(self.model)
        spec = description.preprocessing
        known = PreprocessingSpec(spec.width, spec.height)  # RGB from -1 to 1, black bars, bilinear
        if not isinstance(description, ModelDescription) or spec != known:
            raise UsageError(
                f"{os.path.basename(self.model)}: the peers know single fracture models that take RGB from -1 to 1 "
                "with black bars; measure other files by `osteolite bench`"
            )
        return description


@dataclass(frozen=True)
class Peer:
    """A contender."""

    note: str
    plain_pixels: bool  # it sees exactly what the plain way sees, so that its answers must agree with it
    open: Callable[[Setup], AbstractContextManager[Answer]]


class LeftOut(Exception):
    """A peer cannot take part; the message says why."""


@contextmanager
def _osteolite(setup: Setup) -> Iterator[Answer]:
    classifier = FractureClassifier(setup.model, setup.threads)
    yield lambda path: classifier.predict(path).fracture_probability


def _through_pillow(setup: Setup, network: Callable[[Tensor], float]) -> Answer:
    about = setup.description
    width, height = about.preprocessing.width, about.preprocessing.height
    return lambda path: sigmoid(about.slope * network(tensor_of(fitted(path, width, height))) + about.intercept)


@contextmanager
def _plain(setup: Setup) -> Iterator[Answer]:
    interpreter = open_interpreter(setup.model, setup.threads)
    if interpreter.get_input_details()[0]["dtype"] != np.float32:
        raise UsageError(f"{os.path.basename(setup.model)}: the peers know models that take float32")
    yield _through_pillow(setup, partial(logit, interpreter))


@contextmanager
def _onnx(setup: Setup) -> Iterator[Answer]:
    runtime = _import("onnxruntime")
    if setup.onnx is None:
        raise LeftOut("no --onnx FILE was given")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = setup.threads
    session = runtime.InferenceSession(setup.onnx, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    yield _through_pillow(setup, lambda tensor: float(session.run(None, {name: tensor})[0][0, 0]))


@contextmanager
def _mediapipe(setup: Setup) -> Iterator[Answer]:
    media, tasks = _import("mediapipe"), _import("mediapipe.tasks.python")
    options = tasks.vision.ImageClassifierOptions(base_options=tasks.BaseOptions(model_asset_path=setup.model))
    with tasks.vision.ImageClassifier.create_from_options(options) as classifier:

        def answer(path: str) -> float:
            image = media.Image.create_from_file(path)
            if image.image_format == media.ImageFormat.GRAY8:  # which it reads, but hands to no RGB model
                grey = Image.fromarray(image.numpy_view().reshape(image.height, image.width))
                image = media.Image(image_format=media.ImageFormat.SRGB, data=np.asarray(grey.convert("RGB")))
            return float(classifier.classify(image).classifications[0].categories[0].score)

        yield answer


def _import(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise LeftOut(f"not installed: {error}") from error


OSTEOLITE, PLAIN = "osteolite", "plain"
PEERS = {
    OSTEOLITE: Peer("FractureClassifier.predict", False, _osteolite),
    PLAIN: Peer("Pillow: open, RGB, resize; LiteRT's interpreter; sigmoid", True, _plain),
    "mediapipe": Peer(
        "ImageClassifier; it squeezes instead of black bars, so its answers differ, and chooses its own threads",
        False,
        _mediapipe,
    ),
    "onnxruntime": Peer("Pillow as in plain; the network converted by tf2onnx", True, _onnx),
}
