"""Count the images with a warning, for radiographs that should have none and for other images that should.

    python -m osteolite.benchmarks.studies.warned IMAGES... [--model FILE] [--negatives] [--out DIR]

writes warned.json:

{"schema": 1, "conditions", "model", "negatives": whether the images were inverted, "images",
 "unreadable", "warned": images with any warning, "share": of the images, "kinds": {kind: images},
 "unfamiliarity": {"p5", "p50", "p95"} of the out-of-distribution score relative to the limit; null if the model has
 none}
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import click
import numpy as np
from PIL import ImageChops

from osteolite.edge import FractureClassifier, Prediction, read_radiograph
from osteolite.edge.commands.options import MODEL, MODEL_HELP
from osteolite.edge.imaging.discovery import image_files
from osteolite.edge.imaging.radiograph import ImageSource
from osteolite.edge.modelfile.shipped import shipped_model

from ..labelled_images import labelled_images
from ..options import run
from .record import opening, save


def measure_warnings(model: str, files: list[str], negatives: bool) -> dict[str, Any]:
    """Count the warnings.

    Args:
        model: path of a model file.
        files: image files.
        negatives: whether to invert the images first.

    Returns:
        The fields of the module's JSON from "negatives" on.

    Raises:
        ImageError: with `negatives`, an image cannot be read.
    """
    images: Iterable[ImageSource] = files
    if negatives:
        images = (ImageChops.invert(read_radiograph(file)) for file in files)
    with FractureClassifier(model) as classifier:
        answers = list(classifier.predict_stream(images))
    read = [answer for answer in answers if isinstance(answer, Prediction)]
    warned = sum(bool(one.warnings) for one in read)
    scores = [one.ood_score for one in read if one.ood_score is not None]
    return {
        "negatives": negatives,
        "images": len(read),
        "unreadable": len(answers) - len(read),
        "warned": warned,
        "share": round(warned / max(1, len(read)), 4),
        "kinds": dict(Counter(kind for one in read for kind in one.warnings).most_common()),
        "unfamiliarity": {f"p{q}": round(float(np.percentile(scores, q)), 3) for q in (5, 50, 95)} if scores else None,
    }


@click.command()
@click.argument("images", metavar="IMAGES...", nargs=-1, required=True)
@click.option("--model", type=MODEL, metavar="FILE|NAME", help=MODEL_HELP)
@click.option("--negatives", is_flag=True, help="Invert the images first.")
@click.option("--out", metavar="DIR", help="Write warned.json there instead of printing it.")
def main(images: tuple[str, ...], model: str | None, negatives: bool, out: str | None) -> None:
    """Count the warnings for image files, folders, or CSV files as for `osteolite bench --data`."""
    files: list[str] = []
    for name in images:
        files += [path for path, _ in labelled_images(name)] if name.endswith(".csv") else image_files([name])
    chosen = model or str(shipped_model())
    save({**opening(chosen), **measure_warnings(chosen, files, negatives)}, out, "warned.json")


if __name__ == "__main__":
    run(main)
