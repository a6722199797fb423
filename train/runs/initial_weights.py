"""Starting weights of a network: random, published ImageNet weights, a file, or an earlier run."""

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
    """Find the starting weights.

    "imagenet" is searched for in the folder named by the variable OSTEOLITE_WEIGHTS, then in a folder
    `weights` in the data or beside it; otherwise Keras downloads it. A run folder is an earlier training on
    other data. If it holds several alternatives, the one with this recipe's name is used.

    Args:
        recipe: its backbone and width.
        weights: imagenet, none, the path of an .h5 file, or a run folder; None uses the recipe's setting.
        data: the data folder.

    Returns:
        None for random weights, "imagenet" for Keras to download, or the path of a file or run folder.

    Raises:
        UsageError: there is no such file or run, the run has another network, or the backbone has no ImageNet
            weights.
    """
    requested = weights or recipe.model.weights
    entry = backbone_of(recipe)
    if requested == "none":
        return None
    if requested != "imagenet":
        return _check_path(recipe, Path(requested))
    if entry.weights_file is None:
        raise UsageError(
            f"recipe {recipe.name}: no published ImageNet weights of {recipe.model.backbone} are known; "
            "give --weights none, the path of an .h5 file, or a run folder"
        )
    folders = [Path(os.environ["OSTEOLITE_WEIGHTS"])] if "OSTEOLITE_WEIGHTS" in os.environ else []
    if data is not None:
        folders += [data / "weights", data.resolve().parent / "weights"]
    name = entry.weights_file(recipe.model.alpha)
    return next((str(folder / name) for folder in folders if (folder / name).is_file()), "imagenet")


def files_seen(initial_weights: str | None) -> frozenset[str]:
    """SHA-256 of each file that the starting weights were trained on; empty unless they are an earlier run's."""
    if initial_weights is None or not Path(initial_weights).is_dir():
        return frozenset()
    return frozenset((Path(initial_weights) / "seen.txt").read_text(encoding="utf-8").split())


def _check_path(recipe: Recipe, path: Path) -> str:
    if path.is_file():
        return str(path)
    if not path.is_dir():
        raise UsageError(
            f"--weights {path}: no such file or run; give imagenet, none, the path of an .h5 file, or a run folder"
        )
    folder = path / recipe.name if (path / recipe.name / "run.json").is_file() else path
    run = Run.open(folder)
    if missing := [name for name in ("weights.h5", "seen.txt") if not run.path(name).is_file()]:
        raise UsageError(f"--weights {folder}: the run has no {missing[0]}; name a complete run of one network")
    if differences := _differences(run.recipe, recipe):
        raise UsageError(
            f"--weights {folder}: its network differs from recipe {recipe.name} ({'; '.join(differences)}); "
            "name a run of the same network"
        )
    return str(folder)


def _differences(first: Recipe, second: Recipe) -> list[str]:
    """Differences between two recipes that prevent the second network from using the first one's weights."""
    pairs: list[tuple[str, Any, Any]] = [
        *((name, getattr(first.model, name), getattr(second.model, name)) for name in _NETWORK),
        *((name, getattr(first.preprocessing, name), getattr(second.preprocessing, name)) for name in _INPUT),
    ]
    if second.model.pooling == "flatten":
        pairs.append(("input", first.preprocessing.shape, second.preprocessing.shape))
    return [f"{name} {before} in the run, {now} in the recipe" for name, before, now in pairs if before != now]


def describe_weights(weights: str | None) -> dict[str, str]:
    """Describe the starting weights for run.json: name, SHA-256, and for a run its recipe and data layout."""
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
