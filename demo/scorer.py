"""The models behind the page."""

import base64
import io
import threading
from collections.abc import Iterable

from osteolite.edge.classifier import FractureClassifier, default_model
from osteolite.edge.prediction import Prediction
from osteolite.edge.preprocess import PreprocessingSpec
from osteolite.edge.radiograph import Limits, read_radiograph
from osteolite.edge.router import Router, open_classifier

# An uncompressed 16-bit radiograph of 5000 x 6000 pixels still fits; strangers may upload through a shared link.
LIMITS = Limits(max_bytes=64 * 1024 * 1024, max_seconds=10.0)
PREVIEW_SIDE = 960  # pixels


class Scorer:
    """Model files by the names they give themselves, in the order given.

    Args:
        models: paths of .tflite files; none for the model that ships with the package.

    Raises:
        ModelFileError: a file is missing, damaged, or describes no model of this kind.
    """

    def __init__(self, models: Iterable[str] = ()) -> None:
        self._classifiers: dict[str, FractureClassifier | Router] = {}
        for path in list(models) or [str(default_model())]:
            classifier = open_classifier(path, limits=LIMITS)
            self._classifiers[self._unused(classifier.description.name)] = classifier
        # An interpreter has one set of buffers, and its threads already use the cores: one image at a time, over
        # all models, is as fast as several and also bounds the memory that decoding takes.
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        return list(self._classifiers)

    def variant(self, name: str) -> str:
        """The variant of the model of that name: float32, int8, ..."""
        return self._classifiers[name].description.variant

    def score(self, image: bytes, name: str) -> Prediction:
        """Score the bytes of an image file with the model of that name; safe between threads.

        Raises:
            ImageError: the image cannot be read.
            ModelFileError: the model gives no finite number.
        """
        with self._lock:
            return self._classifiers[name].predict(image)

    def preview(self, image: bytes) -> str:
        """The image as it was read, small enough to show: an 8-bit grey JPEG as a data URI.

        Raises:
            ImageError: the image cannot be read.
        """
        # Half the side, as a reduced JPEG keeps at least twice the size asked for.
        enough = PreprocessingSpec(PREVIEW_SIDE // 2, PREVIEW_SIDE // 2)
        with self._lock:
            radiograph = read_radiograph(image, enough, LIMITS)
            radiograph.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        stream = io.BytesIO()
        radiograph.save(stream, "JPEG", quality=90)
        return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()

    def _unused(self, name: str) -> str:
        unused, number = name, 1
        while unused in self._classifiers:
            number += 1
            unused = f"{name} #{number}"
        return unused
