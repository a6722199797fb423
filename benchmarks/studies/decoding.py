"""Compare how much reduced decoding of large JPEGs changes the prediction with how much quantisation does.

    python -m osteolite.benchmarks.studies.decoding IMAGES... --model FILE [--model FILE] --reference FILE [--out DIR]

writes decoding.json:

{"schema": 1, "conditions", "model": the reference, "images": {"count", "reduced": number decoded at a lower scale},
 "results": [one per model, the reference first:
   {"name", "variant",
    "decoding": change of this model's predictions from full to reduced decoding, over the reduced images,
    "quantisation": change from the reference's predictions, both with full decoding, over the same images}]}

A change is {"median", "largest": of the probability, "decisions": number of different labels}; it is null if no image
is large enough for reduced decoding.
"""

from collections.abc import Iterable
from typing import Any

import click
import numpy as np

from osteolite.edge import FractureClassifier, read_radiograph
from osteolite.edge.errors import UsageError
from osteolite.edge.imaging.radiograph import ImageSource
from osteolite.edge.preprocess import PreprocessingSpec

from ..options import run
from .record import opening, save
from .selection import select

Answers = np.ndarray[Any, np.dtype[np.float64]]


def reduced_images(images: list[str], spec: PreprocessingSpec) -> list[str]:
    """The images that are decoded at a lower scale."""
    return [image for image in images if read_radiograph(image, spec).size != read_radiograph(image).size]


def measure_decoding(files: list[str], images: list[str]) -> dict[str, Any]:
    """Predict images with full and with reduced decoding, with each model.

    Args:
        files: model files of one network; the first is the reference.
        images: image files; only those that are large enough for reduced decoding are used.

    Returns:
        {"images", "results"} as the module describes them.

    Raises:
        ImageError: an image cannot be read.
        ModelFileError: a model cannot be loaded.
        UsageError: the models preprocess images differently.
    """
    classifiers = [FractureClassifier(file) for file in files]
    spec = classifiers[0].spec
    if any(classifier.spec != spec for classifier in classifiers):
        raise UsageError("the models preprocess images differently; give variants of one model")
    large = reduced_images(images, spec)
    # An image that is already decoded is never reduced.
    whole = [_answers(classifier, map(read_radiograph, large)) for classifier in classifiers]
    results = []
    for classifier, answers in zip(classifiers, whole, strict=True):
        threshold = classifier.description.threshold
        reduced = _answers(classifier, large)
        results.append(
            {
                "name": classifier.description.name,
                "variant": classifier.description.variant,
                "decoding": _change(answers, reduced, threshold),
                "quantisation": _change(whole[0], answers, threshold),
            }
        )
    return {"images": {"count": len(images), "reduced": len(large)}, "results": results}


def _answers(classifier: FractureClassifier, images: Iterable[ImageSource]) -> Answers:
    return np.array([classifier.predict(image).fracture_probability for image in images])


def _change(before: Answers, after: Answers, threshold: float) -> dict[str, float] | None:
    if not before.size:
        return None
    change = np.abs(after - before)
    return {
        "median": round(float(np.median(change)), 5),
        "largest": round(float(change.max()), 5),
        "decisions": int(np.sum((before >= threshold) != (after >= threshold))),
    }


@click.command()
@click.argument("paths", metavar="IMAGES...", nargs=-1, required=True)
@click.option("--model", "models", metavar="FILE", multiple=True, required=True, help="A quantised variant; repeat it.")
@click.option("--reference", metavar="FILE", required=True, help="The float32 variant of the same model.")
@click.option("--out", metavar="DIR", help="Write decoding.json there instead of printing it.")
def main(paths: tuple[str, ...], models: tuple[str, ...], reference: str, out: str | None) -> None:
    """Compare the effects of reduced decoding and of quantisation."""
    found = opening(reference)
    found |= measure_decoding([reference, *models], select(paths))
    save(found, out, "decoding.json")


if __name__ == "__main__":
    run(main)
