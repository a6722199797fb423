"""Backbones: one entry of `BACKBONES` for each network that can stand under the head."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osteolite.edge.errors import UsageError

from .keras import keras
from .recipe import Recipe

_BATCH_NORM_MOMENTUM = 0.9  # from scratch on a small set; Keras's 0.999 needs thousands of steps to settle


@dataclass(frozen=True)
class Backbone:
    """A network without its top, and how its ImageNet weights are named on disk."""

    build: Callable[..., Any]
    weights_file: Callable[[float, int], str]


def _mobilenetv2(shape: tuple[int, int, int], alpha: float, weights: str | None) -> Any:
    return keras.applications.MobileNetV2(input_shape=shape, alpha=alpha, include_top=False, weights=weights)


BACKBONES = {
    "mobilenetv2": Backbone(_mobilenetv2, lambda alpha, size: f"mobilenet_v2_{_width(alpha)}_{size}_no_top.h5"),
}


def _width(alpha: float) -> str:
    return f"{alpha:.2f}".rstrip("0") if alpha % 1 else f"{alpha:.1f}"


def find_weights(recipe: Recipe, weights: str | None, data: Path | None) -> str | None:
    """The file of starting weights, or None for a random start.

    "imagenet" is looked for in the folder that the variable OSTEOLITE_WEIGHTS names, then in a
    folder `weights` in the data or beside it, then left to Keras, which downloads it.

    Args:
        recipe: names backbone and width.
        weights: imagenet, none or a path; None takes the recipe's own.
        data: the data folder.

    Returns:
        None, "imagenet" (for Keras to fetch), or a path.

    Raises:
        UsageError: a path that is no file.
    """
    wanted = weights or recipe.model.weights
    if wanted == "none":
        return None
    if wanted != "imagenet":
        if not Path(wanted).is_file():
            raise UsageError(f"--weights {wanted}: no such file; give imagenet, none, or the path of an .h5 file")
        return wanted
    name = BACKBONES[recipe.model.backbone].weights_file(recipe.model.alpha, 224)
    folders = [Path(os.environ["OSTEOLITE_WEIGHTS"])] if "OSTEOLITE_WEIGHTS" in os.environ else []
    if data is not None:
        folders += [data / "weights", data.resolve().parent / "weights"]
    return next((str(folder / name) for folder in folders if (folder / name).is_file()), "imagenet")


def describe_weights(weights: str | None) -> dict[str, str]:
    """What the report says of the start: its name, and the SHA-256 of a file."""
    if weights is None:
        return {"start": "none (random)"}
    if weights == "imagenet":
        return {"start": "imagenet"}
    return {"start": Path(weights).name, "sha256": hashlib.sha256(Path(weights).read_bytes()).hexdigest()}


def build_backbone(recipe: Recipe, weights: str | None) -> Any:
    """The Keras model of the recipe's backbone, with its starting weights.

    Raises:
        UsageError: unknown backbone, weights that do not fit, or a download that failed.
    """
    name = recipe.model.backbone
    if name not in BACKBONES:
        raise UsageError(f"no backbone {name!r}; known are {', '.join(BACKBONES)}")
    try:
        backbone = BACKBONES[name].build(recipe.preprocessing.shape, recipe.model.alpha, weights)
    except Exception as error:  # Keras raises ValueError, OSError, URLError and bare Exception here
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"the starting weights {weights} cannot be had or do not fit {name} ({reason}); "
            "give --weights none, or the path of an .h5 file"
        ) from error
    if weights is None:
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = _BATCH_NORM_MOMENTUM
    return backbone
