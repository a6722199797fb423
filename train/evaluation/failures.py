"""Pictures of a model's worst mistakes, with its map and the annotated boxes."""

from collections.abc import Sequence
from pathlib import Path

from osteolite.edge.atomic import atomic_path
from osteolite.edge.errors import UsageError

from ..data.boxes import has_boxes, read_boxes
from ..data.catalogue import Catalogue, Row
from .annotate import add_caption, mark
from .scoring import ImageScorer, ScoredImage


def make_folder(folder: Path) -> None:
    """Make the folder for the pictures, before the evaluation starts.

    Raises:
        UsageError: the folder cannot be made, or is not empty.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"--failures {folder}: the folder is not empty; name a new one")
    except OSError as error:
        raise UsageError(f"--failures {folder}: {error.strerror}; name a folder for the pictures") from error


def draw_failures(
    scorer: ImageScorer, catalogue: Catalogue, scored: Sequence[tuple[Row, ScoredImage]], folder: Path, most: int
) -> dict[str, list[str]]:
    """Draw missed fractures and false alarms, the worst first.

    Args:
        scorer: the model.
        catalogue: the images.
        scored: the model's scores for them.
        folder: for the PNG files, as made by `make_folder`.
        most: largest number of pictures of each kind.

    Returns:
        {"missed" and "false_alarms": the image files, in the order of the pictures}.
    """
    boxes = read_boxes(catalogue) if has_boxes(catalogue) else {}
    wrong = [(row, one) for row, one in scored if (one.probability >= scorer.threshold) != bool(row.label)]
    kinds = {
        "missed": sorted((pair for pair in wrong if pair[0].label), key=lambda pair: pair[1].probability),
        "false_alarms": sorted((pair for pair in wrong if not pair[0].label), key=lambda pair: -pair[1].probability),
    }
    for kind, pairs in kinds.items():
        for number, (row, one) in enumerate(pairs[:most], 1):
            picture = scorer.picture(catalogue.path(row)).convert("RGB")
            if row.file in boxes:
                mark(picture, boxes[row.file].boxes, one.point)
            lines = [
                f"{Path(row.file).name}: labelled {'fractured' if row.label else 'normal'}",
                f"probability {one.probability:.3f} (threshold {scorer.threshold:.3f})",
                "Research use only: no diagnosis",
            ]
            with atomic_path(folder / f"{kind}_{number:02d}.png") as temporary:
                add_caption(picture, lines).save(temporary, format="PNG")
    return {kind: [row.file for row, _ in pairs[:most]] for kind, pairs in kinds.items()}
