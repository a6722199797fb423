"""The starting weights: a random start, published ImageNet weights, a file, or an earlier run."""

import hashlib
import os
from pathlib import Path
from typing import Any

from osteolite.edge.errors import UsageError

from ..networks.backbones import backbone_of
from ..recipe import Recipe
from .run_folder import Run

_NETWORK = ("backbone", "alpha", "last_layer", "pooling", "hidden", "outputs", "fracture_map")
_INPUT = ("channels", "mean", "std")


def find_weights(recipe: Recipe, weights: str | None, data: Path | None) -> str | None:
    """Where the starting weights are, or None for a random start.

    "imagenet" is looked for in the folder that the variable OSTEOLITE_WEIGHTS names, then in a
    folder `weights` in the data or beside it, then left to Keras, which downloads it. A run folder is
    a first round of training on other data: of a recipe with alternatives the one of this recipe's
    name is taken.

    Args:
        recipe: names backbone and width.
        weights: imagenet, none, the path of an .h5 file, or a run folder; None takes the recipe's own.
        data: the data folder.

    Returns:
        None, "imagenet" (for Keras to fetch), or the path of a file or a run folder.

    Raises:
        UsageError: no such file or run, a run of another network, or a backbone without ImageNet weights.
    """
    wanted = weights or recipe.model.weights
    entry = backbone_of(recipe)
    if wanted == "none":
        return None
    if wanted != "imagenet":
        return _given(recipe, Path(wanted))
    if entry.weights_file is None:
        raise UsageError(
            f"there are no published ImageNet weights of {recipe.model.backbone} here (recipe {recipe.name}); "
            "give --weights none, the path of an .h5 file, or a run folder"
        )
    folders = [Path(os.environ["OSTEOLITE_WEIGHTS"])] if "OSTEOLITE_WEIGHTS" in os.environ else []
    if data is not None:
        folders += [data / "weights", data.resolve().parent / "weights"]
    name = entry.weights_file(recipe.model.alpha)
    return next((str(folder / name) for folder in folders if (folder / name).is_file()), "imagenet")


def seen_before(start: str | None) -> frozenset[str]:
    """SHA-256 of each file that the starting weights were trained on, where they are an earlier run's."""
    if start is None or not Path(start).is_dir():
        return frozenset()
    return frozenset((Path(start) / "seen.txt").read_text(encoding="utf-8").split())


def _given(recipe: Recipe, path: Path) -> str:
    if path.is_file():
        return str(path)
    if not path.is_dir():
        raise UsageError(
            f"--weights {path}: no such file or run; give imagenet, none, the path of an .h5 file, or a run folder"
        )
    folder = path / recipe.name if (path / recipe.name / "run.json").is_file() else path
    run = Run.open(folder)
    if missing := [name for name in ("weights.h5", "seen.txt") if not run.path(name).is_file()]:
        raise UsageError(f"--weights {folder}: a run without {missing[0]}; name a run of one network, whole")
    first = run.recipe
    if differences := _differences(first, recipe):
        raise UsageError(
            f"--weights {folder}: its network is not that of recipe {recipe.name} ({'; '.join(differences)}); "
            "name a run of the same network"
        )
    return str(folder)


def _differences(first: Recipe, second: Recipe) -> list[str]:
    """What keeps the weights of the first recipe's network from starting the second's."""
    pairs: list[tuple[str, Any, Any]] = [
        *((name, getattr(first.model, name), getattr(second.model, name)) for name in _NETWORK),
        *((name, getattr(first.preprocessing, name), getattr(second.preprocessing, name)) for name in _INPUT),
    ]
    if second.model.pooling == "flatten":
        pairs.append(("input", first.preprocessing.shape, second.preprocessing.shape))
    return [f"{name} {before} there, {now} here" for name, before, now in pairs if before != now]


def describe_weights(weights: str | None) -> dict[str, str]:
    """What the report says of the start: its name, and the SHA-256 of its weights; of a run its data's layout too."""
    if weights is None:
        return {"start": "none (random)"}
    if weights == "imagenet":
        return {"start": "imagenet"}
    path = Path(weights)
    if path.is_file():
        return {"start": path.name, "sha256": _sha256(path)}
    about = Run(path).json("run.json")
    return {
        "start": f"a run of {about['recipe']} on other data ({about['layout']} layout)",
        "recipe": about["recipe"],
        "layout": about["layout"],
        "sha256": _sha256(path / "weights.h5"),
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
