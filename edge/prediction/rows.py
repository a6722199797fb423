"""Predictions as rows of plain values, one per image."""

import os
from collections.abc import Iterable, Iterator
from itertools import tee
from pathlib import Path
from typing import Any

from ..atomic import atomic_path
from ..errors import ImageError, OsteoliteError
from .prediction import Prediction
from .scorer import Scorer

Row = dict[str, Any]

_JPEG_QUALITY = 90


def predict_rows(
    scorer: Scorer, names: Iterable[str], heatmaps: Path | None = None, workers: int | None = None
) -> Iterator[Row]:
    """Score files, several at a time, and save their heatmaps.

    Args:
        scorer: the model.
        names: paths of the files; the iterable is read as needed.
        heatmaps: folder for the heatmaps; each is written before its row is yielded. None: no heatmaps.
        workers: number of images scored at the same time; default, one per core, at most 8.

    Yields:
        In the order of `names`: {"file", the fields of `Prediction.to_dict`, and "heatmap", the path of the heatmap},
        or {"file", "error": {"type", "message"}}.

    Raises:
        ModelFileError: the output of the model is not finite, or it has no activation map to draw.
        OsteoliteError: a heatmap cannot be written.
    """
    images, names = tee(names)
    for result, name in zip(scorer.predict_stream(images, heatmaps is not None, workers), names, strict=True):
        if isinstance(result, ImageError):
            yield {"file": name, "error": {"type": type(result).__name__, "message": str(result)}}
        else:
            yield {"file": name, **result.to_dict(), **_save_heatmap(result, name, heatmaps)}


def heatmap_path(folder: Path, name: str) -> Path:
    """Return the path of a file's heatmap: under the file's own path, so that no two files share one.

    >>> str(heatmap_path(Path("maps"), "../ward/wrist.png"))
    'maps/ward/wrist.png.heatmap.jpg'
    """
    parts = [part for part in Path(os.path.normpath(name)).parts if part not in ("..", os.path.sep)]
    return folder.joinpath(*parts[:-1], f"{parts[-1]}.heatmap.jpg")


def _save_heatmap(prediction: Prediction, name: str, heatmaps: Path | None) -> Row:
    if heatmaps is None or prediction.heatmap is None:
        return {}
    target = heatmap_path(heatmaps, name)
    try:
        with atomic_path(target) as temporary:
            prediction.heatmap.save(temporary, "JPEG", quality=_JPEG_QUALITY)
    except OSError as error:
        raise OsteoliteError(f"{target}: the heatmap cannot be written ({error.strerror or error})") from error
    return {"heatmap": str(target)}
