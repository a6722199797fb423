"""Score labelled radiographs one by one, as a device does, with properties of each image."""

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

_SQUARE = 1.05  # largest ratio of the sides of a square image, exclusive
_LARGE = 600  # pixels of the longer side; many published data sets mix original and reduced images


@dataclass(frozen=True)
class ScoredImage:
    """A model's score for one image."""

    probability: float  # of a fracture, calibrated
    width: int  # of the upright image, pixels
    height: int
    warnings: tuple[str, ...] = ()  # kinds of warnings
    point: Point | None = None  # hottest point of the map; None without a map, or if the map is flat

    @property
    def orientation(self) -> str:
        if max(self.width, self.height) < _SQUARE * min(self.width, self.height):
            return "square"
        return "portrait" if self.height > self.width else "landscape"

    @property
    def size(self) -> str:
        return f"{_LARGE} px or more" if max(self.width, self.height) >= _LARGE else f"below {_LARGE} px"


@dataclass(frozen=True)
class ImageScorer:
    """A model that scores image files."""

    score: Callable[[Path], ScoredImage]
    threshold: float
    has_map: bool  # whether its scores come with a point
    picture: Callable[[Path], Image.Image]  # draws an image, with the map over it if there is one


def open_scorer(model: Path) -> ImageScorer:
    """Open a .tflite file, or the Keras model of a run folder.

    Raises:
        ModelFileError: the file is damaged, or does not hold a single fracture model.
        UsageError: the folder is not a run folder.
    """
    return _run_scorer(Run.open(model)) if model.is_dir() else _file_scorer(model)


def _file_scorer(model: Path) -> ImageScorer:
    classifier = FractureClassifier(model)

    def score(path: Path) -> ScoredImage:
        prediction, grey = classifier.predict_with_image(path)
        point = None
        if prediction.activation_map is not None:
            point = hottest_point(content_map(prediction.activation_map, classifier.spec, *grey.size))
        size = read_radiograph(path).size  # the classifier decodes large JPEG files at a reduced scale
        return ScoredImage(prediction.fracture_probability, *size, tuple(prediction.warnings), point)

    mapped = classifier.session.map_shape is not None

    def picture(path: Path) -> Image.Image:
        prediction, grey = classifier.predict_with_image(path, heatmap=mapped)
        return prediction.heatmap or grey

    return ImageScorer(score, classifier.description.threshold, mapped, picture)


def _run_scorer(run: Run) -> ImageScorer:
    network, spec, evaluation = run.model(), run.recipe.preprocessing, run.json("evaluation.json")
    calibration = evaluation["probability_calibration"]

    def score(path: Path) -> ScoredImage:
        tensor = preprocess(read_radiograph(path, spec), spec)
        logit = np.asarray(logits_of(network(tensor, training=False)))[0, 0]
        probability = float(probabilities(logit, calibration["slope"], calibration["intercept"]))
        return ScoredImage(probability, *read_radiograph(path).size)

    return ImageScorer(score, evaluation["threshold"]["value"], False, read_radiograph)


def score_images(
    scorer: ImageScorer, catalogue: Catalogue, rows: tuple[Row, ...], unreadable: dict[str, str]
) -> Iterator[tuple[Row, ScoredImage]]:
    """Score each image. Unreadable ones are left out and added to `unreadable`, with the reason by file."""
    for row in tracked(rows, "scoring", len(rows)):
        try:
            yield row, scorer.score(catalogue.path(row))
        except ImageError as error:
            unreadable[row.file] = str(error)
