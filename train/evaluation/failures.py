"""Pictures of a model's worst mistakes: where it looked, and where the readers' boxes are."""

from collections.abc import Sequence
from pathlib import Path

from osteolite.edge.atomic import atomic_path
from osteolite.edge.errors import UsageError

from ..data.boxes import has_boxes, read_boxes
from ..data.catalogue import Catalogue, Row
from .annotate import captioned, mark
from .scoring import Judge, ScoredImage


def make_folder(folder: Path) -> None:
    """Make the folder of the pictures, before the long work that they come from.

    Raises:
        UsageError: it cannot be made, or holds files already.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"--failures {folder}: the folder is not empty; name a new one")
    except OSError as error:
        raise UsageError(f"--failures {folder}: {error.strerror}; name a folder for the pictures") from error


def draw_failures(
    judge: Judge, catalogue: Catalogue, scored: Sequence[tuple[Row, ScoredImage]], folder: Path, most: int
) -> dict[str, list[str]]:
    """Draw the fractures that were missed and the normal images that were not, the worst first.

    Args:
        judge: the model.
        catalogue: of the images.
        scored: its answers.
        folder: for the PNG files, as `make_folder` left it.
        most: pictures of each kind.

    Returns:
        {"missed" and "false_alarms": the images' files, in the order of the pictures}.
    """
    boxes = read_boxes(catalogue) if has_boxes(catalogue) else {}
    wrong = [(row, one) for row, one in scored if (one.probability >= judge.threshold) != bool(row.label)]
    kinds = {
        "missed": sorted((pair for pair in wrong if pair[0].label), key=lambda pair: pair[1].probability),
        "false_alarms": sorted((pair for pair in wrong if not pair[0].label), key=lambda pair: -pair[1].probability),
    }
    for kind, pairs in kinds.items():
        for number, (row, one) in enumerate(pairs[:most], 1):
            picture = judge.picture(catalogue.path(row)).convert("RGB")
            if row.file in boxes:
                mark(picture, boxes[row.file].boxes, one.point)
            lines = [
                f"{Path(row.file).name}: {'fractured' if row.label else 'normal'} by its label",
                f"probability {one.probability:.3f} (threshold {judge.threshold:.3f})",
                "Research use only: no diagnosis",
            ]
            with atomic_path(folder / f"{kind}_{number:02d}.png") as part:
                captioned(picture, lines).save(part, format="PNG")
    return {kind: [row.file for row, _ in pairs[:most]] for kind, pairs in kinds.items()}
