"""What a call of `osteolite train` asks for, and the run folder that is its own."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from osteolite.edge.atomic import write_json, write_text
from osteolite.edge.errors import UsageError

from .backbones import describe_weights
from .catalogue import Catalogue
from .recipe import Recipe, to_toml
from .runs import Run

_PACKAGES = ("osteolite", "tensorflow", "tf-keras", "numpy", "pillow", "scikit-learn")


@dataclass(frozen=True)
class Job:
    """One training that is asked for."""

    recipe: Recipe
    found: Catalogue  # what the data set holds, before anything is read
    data: Path  # folder or manifest, as the user named it
    out: Path  # the run folder
    weights: str | None  # imagenet, none, a weights file or a run folder; None: the recipe's own start
    seed: int
    allow_leaks: bool


def claim(job: Job, start: str | None) -> Run:
    """Make the job's folder its own run, or see that it is.

    Args:
        job: the training.
        start: the starting weights, as `backbones.find_weights` found them.

    Raises:
        UsageError: the folder holds another run.
    """
    out = job.out
    about = {
        "recipe": job.recipe.name,
        "data": str(job.data.resolve()),
        "layout": job.found.layout,
        "seed": job.seed,
        "weights": describe_weights(start),
        "versions": {package: version(package) for package in _PACKAGES},
    }
    known = out / "run.json"
    if known.is_file():
        before = json.loads(known.read_text(encoding="utf-8"))
        same = all(before[key] == about[key] for key in ("recipe", "data", "seed", "weights"))
        if not same or Run(out).recipe != job.recipe:
            raise UsageError(f"{out} holds a run of another recipe, data, seed or start; name another --out")
        return Run(out)
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty and holds no run; name another --out")
    write_text(out / "recipe.toml", to_toml(job.recipe))
    write_json(known, about)
    return Run(out)
