"""The performance of a model on altered radiographs: rotated, resized, or processed by other devices and programs.

    python -m osteolite.benchmarks.studies.altered LABELLED [--model FILE|NAME] [--out DIR]

writes altered.json:

{"schema": 1, "conditions", "model", "images",
 "alterations": {name: {"auroc", "sensitivity", "specificity": at the file's threshold, "warned": number of images}}}
"""

import io
from collections.abc import Callable
from typing import Any

import click
import numpy as np
from PIL import Image, ImageFilter

from osteolite.edge import FractureClassifier, Prediction, read_radiograph
from osteolite.edge.commands.options import MODEL, MODEL_HELP
from osteolite.edge.errors import ImageError
from osteolite.edge.modelfile.shipped import shipped_model

from ..labelled_images import labelled_images
from ..options import run
from .record import opening, save

_BILINEAR = Image.Resampling.BILINEAR


def _turned(degrees: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.rotate(degrees, _BILINEAR, expand=True)


def _smaller(times: int) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.resize([max(1, side // times) for side in image.size], _BILINEAR)


def _gamma(exponent: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.point([round(255 * (value / 255) ** exponent) for value in range(256)])


def _noisy(image: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).normal(0.0, 10.0, (image.height, image.width))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def _compressed(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30)
    return Image.open(file)


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "turned by 45 degrees": _turned(45),
    "on its side": _turned(90),
    "on its head": _turned(180),
    "half the size": _smaller(2),
    "a third of the size": _smaller(3),
    "blurred by 2 pixels": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "sharpened": lambda image: image.filter(ImageFilter.UnsharpMask(2, 150, 0)),
    "noise of 10 grey levels": _noisy,
    "JPEG of quality 30": _compressed,
    "brighter (gamma 0.6)": _gamma(0.6),
    "darker (gamma 1.6)": _gamma(1.6),
}


def _read(file: str) -> Image.Image:
    try:
        return read_radiograph(file)
    except ImageError as error:
        raise type(error)(f"{file}: {error}") from error


def measure_alterations(model: str, images: list[tuple[str, int]]) -> dict[str, Any]:
    """Score every image under every alteration.

    Args:
        model: path of a model file.
        images: files and labels (0 normal, 1 fractured), with both labels present.

    Returns:
        The fields of the module's JSON from "images" on.

    Raises:
        ImageError: an image cannot be read.
    """
    from sklearn.metrics import roc_auc_score

    labels, found = np.array([label for _, label in images]), {}
    with FractureClassifier(model) as classifier:
        for name, alter in ALTERATIONS.items():
            answers = list(classifier.predict_stream(alter(_read(file)) for file, _ in images))
            read = [answer for answer in answers if isinstance(answer, Prediction)]
            if len(read) < len(images):
                raise ImageError(f"{len(images) - len(read)} images got no prediction under {name!r}; leave them out")
            positive = np.array([one.label == "fractured" for one in read])
            found[name] = {
                "auroc": round(float(roc_auc_score(labels, [one.fracture_probability for one in read])), 5),
                "sensitivity": round(float(positive[labels == 1].mean()), 5),
                "specificity": round(float(1 - positive[labels == 0].mean()), 5),
                "warned": sum(bool(one.warnings) for one in read),
            }
    return {"images": len(images), "alterations": found}


@click.command()
@click.argument("labelled", metavar="LABELLED")
@click.option("--model", type=MODEL, metavar="FILE|NAME", help=MODEL_HELP)
@click.option("--out", metavar="DIR", help="Write altered.json there instead of printing it.")
def main(labelled: str, model: str | None, out: str | None) -> None:
    """Score LABELLED, a folder or CSV file as for `osteolite bench --data`, under every alteration."""
    chosen = model or str(shipped_model())
    save({**opening(chosen), **measure_alterations(chosen, labelled_images(labelled))}, out, "altered.json")


if __name__ == "__main__":
    run(main)
