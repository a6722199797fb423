"""A model's answers to labelled radiographs, one by one as a device gives them, and what is known of each image."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from osteolite.edge.errors import ImageError
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.prediction.classifier import FractureClassifier
from osteolite.edge.prediction.heatmap import content_map
from osteolite.edge.preprocess import preprocess

from ..console import tracked
from ..data.catalogue import Catalogue, Row
from ..metrics.pointing_game import Point, hottest_point
from ..metrics.probability_calibration import probabilities
from ..networks.model import logits_of
from ..runs.run_folder import Run

_SQUARE = 1.05  # sides of a square picture differ by less
_LARGE = 600  # pixels of the longer side: many published sets hold originals and reduced images beside each other


@dataclass(frozen=True)
class ScoredImage:
    """What a model says of one image."""

    probability: float  # of a fracture, calibrated
    width: int  # of the upright image, pixels
    height: int
    warnings: tuple[str, ...] = ()  # their kinds
    point: Point | None = None  # the hottest of its map; None: it gives none, or one that points nowhere

    @property
    def orientation(self) -> str:
        if max(self.width, self.height) < _SQUARE * min(self.width, self.height):
            return "square"
        return "portrait" if self.height > self.width else "landscape"

    @property
    def size(self) -> str:
        return f"{_LARGE} px or more" if max(self.width, self.height) >= _LARGE else f"below {_LARGE} px"


@dataclass(frozen=True)
class Judge:
    """A model that answers."""

    answer: Callable[[Path], ScoredImage]
    threshold: float
    points: bool  # whether its answers say where
    picture: Callable[[Path], Image.Image]  # of an image, with its map over it where there is one


def open_judge(model: Path) -> Judge:
    """Open a .tflite file, or a run folder, whose Keras model is then asked.

    Raises:
        ModelFileError: a damaged file, or one of no single fracture model.
        UsageError: no run folder.
    """
    return _of_run(Run.open(model)) if model.is_dir() else _of_file(model)


def _of_file(model: Path) -> Judge:
    classifier = FractureClassifier(model)

    def answer(path: Path) -> ScoredImage:
        prediction, grey = classifier.predict_with_image(path)
        point = None
        if prediction.activation_map is not None:
            point = hottest_point(content_map(prediction.activation_map, classifier.spec, *grey.size))
        size = read_radiograph(path).size  # large JPEG files were decoded at a reduced scale
        return ScoredImage(prediction.fracture_probability, *size, tuple(prediction.warnings), point)

    mapped = classifier.session.map_shape is not None

    def picture(path: Path) -> Image.Image:
        prediction, grey = classifier.predict_with_image(path, heatmap=mapped)
        return prediction.heatmap or grey

    return Judge(answer, classifier.description.threshold, mapped, picture)


def _of_run(run: Run) -> Judge:
    network, spec, evaluation = run.model(), run.recipe.preprocessing, run.json("evaluation.json")
    calibration = evaluation["probability_calibration"]

    def answer(path: Path) -> ScoredImage:
        tensor = preprocess(read_radiograph(path, spec), spec)
        logit = np.asarray(logits_of(network(tensor, training=False)))[0, 0]
        probability = float(probabilities(logit, calibration["slope"], calibration["intercept"]))
        return ScoredImage(probability, *read_radiograph(path).size)

    return Judge(answer, evaluation["threshold"]["value"], False, read_radiograph)


def answers(
    judge: Judge, catalogue: Catalogue, rows: tuple[Row, ...], unreadable: dict[str, str]
) -> Iterator[tuple[Row, ScoredImage]]:
    """Ask about each image; what cannot be read is left out and noted in `unreadable`, the reason by the file."""
    for row in tracked(rows, "scoring", len(rows)):
        try:
            yield row, judge.answer(catalogue.path(row))
        except ImageError as error:
            unreadable[row.file] = str(error)
