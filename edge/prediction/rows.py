"""Answers as rows of plain values, one for each image."""

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

_QUALITY = 90  # of the pictures


def predict_rows(
    scorer: Scorer, names: Iterable[str], heatmaps: Path | None = None, workers: int | None = None
) -> Iterator[Row]:
    """Score files, several at a time, and draw where the answers come from.

    Args:
        scorer: the model.
        names: of the files; asked for as they are needed.
        heatmaps: a folder for the pictures, which are written before their row is given; None, no pictures.
        workers: images scored at the same time; default, one for each core, at most 8.

    Yields:
        In order {"file", and of the prediction what `Prediction.to_dict` gives, and "heatmap": the
        picture's path}, or {"file", "error": {"type", "message"}}.

    Raises:
        ModelFileError: the model gives no finite number, or no map to draw.
        OsteoliteError: a picture cannot be written.
    """
    asked, kept = tee(names)
    for answer, name in zip(scorer.predict_stream(asked, heatmaps is not None, workers), kept, strict=True):
        if isinstance(answer, ImageError):
            yield {"file": name, "error": {"type": type(answer).__name__, "message": str(answer)}}
        else:
            yield {"file": name, **answer.to_dict(), **_drawn(answer, name, heatmaps)}


def heatmap_path(folder: Path, name: str) -> Path:
    """Where in the folder the picture of a file goes: under the file's own path, so that no two share one.

    >>> str(heatmap_path(Path("maps"), "../ward/wrist.png"))
    'maps/ward/wrist.png.heatmap.jpg'
    """
    parts = [part for part in Path(os.path.normpath(name)).parts if part not in ("..", os.path.sep)]
    return folder.joinpath(*parts[:-1], f"{parts[-1]}.heatmap.jpg")


def _drawn(answer: Prediction, name: str, heatmaps: Path | None) -> Row:
    if heatmaps is None or answer.heatmap is None:
        return {}
    target = heatmap_path(heatmaps, name)
    try:
        with atomic_path(target) as part:
            answer.heatmap.save(part, "JPEG", quality=_QUALITY)
    except OSError as error:
        raise OsteoliteError(f"{target}: the heatmap cannot be written ({error.strerror or error})") from error
    return {"heatmap": str(target)}
