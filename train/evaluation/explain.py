"""Explain a run's predictions: maps drawn over radiographs, and the pointing game."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from osteolite.edge.atomic import atomic_path, write_json
from osteolite.edge.errors import DatasetError, ImageError, UsageError
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.labels import FRACTURED, NORMAL
from osteolite.edge.prediction.heatmap import content_map, overlay
from osteolite.edge.preprocess import preprocess

from ..console import tracked
from ..data.boxes import BoxedImage, read_boxes
from ..data.catalogue import Catalogue, Row
from ..metrics.pointing_game import PointedImage, hottest_point, pointing_metrics
from ..metrics.probability_calibration import probabilities
from ..networks.class_activation import METHODS, activation_mapper, choose_method, default_layer
from ..runs.run_folder import Run
from .annotate import add_caption, mark

_LONGEST_STEM = 80  # characters of the input's name in a map's name; file systems limit names to about 255 bytes

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Explanation:
    """A run's prediction for one image, with its maps."""

    width: int  # of the decoded image, pixels
    height: int
    probability: float  # of a fracture, calibrated
    label: str  # at the run's threshold
    heatmaps: tuple[Array, ...]  # one for each layer, as `content_map` returns it


class Explainer:
    """Scores images with a run's Keras model and maps the regions that the score comes from.

    Args:
        run: a finished run.
        layers: names of feature maps; empty for the fracture map, or else the last feature map.
        method: a key of `class_activation.METHODS`; None for the fracture map or class activation map if the
            network has one.

    Raises:
        UsageError: there is no such layer, or the method has no map for it.
    """

    def __init__(self, run: Run, layers: Iterable[str] = (), method: str | None = None) -> None:
        model, evaluation = run.model(), run.json("evaluation.json")
        self.run, self.spec = run, run.recipe.preprocessing
        self.layers = list(dict.fromkeys(layers)) or [default_layer(model, method)]
        self.method = choose_method(model, self.layers, method)
        self.threshold: float = evaluation["threshold"]["value"]
        self._calibration = evaluation["probability_calibration"]
        self._mapper = activation_mapper(model, self.layers, self.method)

    def explain(self, path: str | Path) -> Explanation:
        """Score one image.

        Raises:
            ImageError: the image cannot be read.
        """
        radiograph = read_radiograph(path, self.spec)
        logit, maps = self._mapper(preprocess(radiograph, self.spec))
        probability = float(probabilities(np.array(logit), self._calibration["slope"], self._calibration["intercept"]))
        heatmaps = tuple(content_map(one, self.spec, *radiograph.size) for one in maps)
        label = FRACTURED if probability >= self.threshold else NORMAL
        return Explanation(*radiograph.size, probability, label, heatmaps)

    def draw(
        self, path: str | Path, explanation: Explanation, targets: list[Path], boxed: BoxedImage | None = None
    ) -> None:
        """Write one PNG for each layer. If boxes are given, they and the hottest point are marked.

        Raises:
            ImageError: the image cannot be read.
        """
        radiograph = read_radiograph(path)
        for layer, heatmap, target in zip(self.layers, explanation.heatmaps, targets, strict=True):
            picture = overlay(radiograph, heatmap)
            if boxed is not None:
                mark(picture, boxed.boxes, hottest_point(heatmap))
            with atomic_path(target) as temporary:
                self._captioned(picture, explanation, layer, heatmap).save(temporary, format="PNG")

    def _captioned(self, picture: Image.Image, explanation: Explanation, layer: str, heatmap: Array) -> Image.Image:
        note = "" if heatmap.max() > 0 else ": no evidence for a fracture"
        lines = [
            f"{explanation.label}, probability {explanation.probability:.3f} (threshold {self.threshold:.3f})",
            f"{METHODS[self.method]}, layer {layer}{note}",
            "Research use only: no diagnosis",
        ]
        return add_caption(picture, lines)


def map_paths(out: Path, names: list[str], method: str, layers: list[str]) -> list[list[Path]]:
    """Choose the path of each image's map for each layer. No two are equal, and none is one of the inputs.

    >>> map_paths(Path("out"), ["a/wrist.png", "b/wrist.jpg"], "cam", ["top"])[1][0].name
    'wrist_cam_top_2.png'
    """
    taken = {_path_key(Path(name)) for name in names}

    def unused(stem: str) -> Path:
        path, number = out / f"{stem}.png", 2
        while _path_key(path) in taken:
            path, number = out / f"{stem}_{number}.png", number + 1
        taken.add(_path_key(path))
        return path

    return [
        [unused(f"{Path(name).stem[:_LONGEST_STEM]}_{method}_{layer.replace('/', '-')}") for layer in layers]
        for name in names
    ]


def _path_key(path: Path) -> str:
    return str(path.resolve()).casefold()  # some file systems ignore case


def explain_images(explainer: Explainer, names: list[str], out: Path) -> Iterator[dict[str, Any]]:
    """Draw the maps of images and yield one row for each, in order.

    Yields:
        {"file", "label", "fracture_probability", "threshold", "maps": a list of {"layer",
        "file", "hottest": [x, y] in pixels of the image, or None}}, or {"file", "error"} if it cannot be read.

    Raises:
        UsageError: `out` cannot be written to.
    """
    targets = map_paths(_make_folder(out), names, explainer.method, explainer.layers)
    for name, paths in zip(names, targets, strict=True):
        try:
            explanation = explainer.explain(name)
            explainer.draw(name, explanation, paths)
        except ImageError as error:
            yield {"file": name, "error": {"type": type(error).__name__, "message": str(error)}}
            continue
        maps = [
            {"layer": layer, "file": str(path), "hottest": _hottest_pixel(explanation, heatmap)}
            for layer, path, heatmap in zip(explainer.layers, paths, explanation.heatmaps, strict=True)
        ]
        yield {
            "file": name,
            "label": explanation.label,
            "fracture_probability": round(explanation.probability, 6),
            "threshold": round(explainer.threshold, 6),
            "maps": maps,
        }


def _make_folder(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
        return out
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}; name a folder for the maps") from error


def _hottest_pixel(explanation: Explanation, heatmap: Array) -> list[float] | None:
    point = hottest_point(heatmap)
    return None if point is None else [round(point[0] * explanation.width, 1), round(point[1] * explanation.height, 1)]


def play_pointing_game(explainer: Explainer, out: Path | None = None) -> dict[str, Any]:
    """Play the pointing game on the fractured test images of the run, and write `pointing.json` into the run.

    Args:
        explainer: for a run whose data has boxes.
        out: folder for the maps with boxes and hottest points; None draws nothing.

    Returns:
        {"method", "threshold", "tolerance": in pixels, "fractured": images in the test split, "without_boxes",
        "left_out": a reason for each file, "layers": the results of `pointing_metrics`, each with "layer"}.

    Raises:
        DatasetError: the data has no boxes, or no fractured test image could be used.
        UsageError: `out` cannot be written to.
    """
    catalogue = explainer.run.catalogue
    boxes = read_boxes(catalogue)
    fractured = [row for row in catalogue.in_split("test") if row.label == 1]
    chosen = [row for row in fractured if row.file in boxes]
    games, left_out = _play_layers(explainer, catalogue, chosen, boxes, out)
    if not games[0]:
        raise DatasetError(f"{catalogue.root}: no fractured test image has boxes and can be read")
    named = zip(explainer.layers, games, strict=True)
    result = {
        "method": explainer.method,
        "threshold": explainer.threshold,
        "tolerance": 0,
        "fractured": len(fractured),
        "without_boxes": len(fractured) - len(chosen),
        "left_out": left_out,
        "layers": [{"layer": layer, **pointing_metrics(game, explainer.threshold)} for layer, game in named],
    }
    write_json(explainer.run.path("pointing.json"), result)
    return result


def _play_layers(
    explainer: Explainer, catalogue: Catalogue, rows: list[Row], boxes: dict[str, BoxedImage], out: Path | None
) -> tuple[list[list[PointedImage]], dict[str, str]]:
    """The scored images for each layer, and the reason for each image that was left out."""
    paths = [str(catalogue.path(row)) for row in rows]
    targets = None if out is None else map_paths(_make_folder(out), paths, explainer.method, explainer.layers)
    games: list[list[PointedImage]] = [[] for _ in explainer.layers]
    left_out: dict[str, str] = {}
    for index, row in enumerate(tracked(rows, "pointing", len(rows))):
        boxed = boxes[row.file]
        try:
            explanation = _explain_boxed(explainer, paths[index], boxed)
            if targets is not None:
                explainer.draw(paths[index], explanation, targets[index], boxed)
        except (ImageError, DatasetError) as error:
            left_out[row.file] = str(error)
            continue
        for game, heatmap in zip(games, explanation.heatmaps, strict=True):
            game.append(PointedImage(row.group, boxed.boxes, explanation.probability, hottest_point(heatmap)))
    return games, left_out


def _explain_boxed(explainer: Explainer, path: str, boxed: BoxedImage) -> Explanation:
    explanation = explainer.explain(path)
    if not boxed.fits(explanation.width, explanation.height):
        raise DatasetError(
            f"its boxes were drawn on {boxed.width} x {boxed.height} pixels, a different aspect ratio from the image's "
            f"{explanation.width} x {explanation.height}"
        )
    return explanation
