"""The run folder: all files of one training.

recipe.toml      the recipe
run.json         data, seed, starting weights, versions
catalogue.csv    every image with its label, group and split (column "part")
test.csv         path and label of the test images, for `osteolite bench`
seen.txt         SHA-256 of each file that the weights were trained on, including earlier runs
cache/           the decoded pixels at the network's input size
progress.json    finished epochs; checkpoints/ and weights.h5 belong to it
logs/            the same for TensorBoard
predictions.csv  the fracture probability of each validation and test image
evaluation.json  probability calibration, threshold, metrics on validation and test
models/          the files written by `osteolite convert`, with conversion.json
benchmark.json   the results of `osteolite bench`
pointing.json    the results of `osteolite explain` on data with fracture boxes
report.html      the report
card.md          the model card
stages/          in a router's run: one such folder for each of its networks

A recipe with alternatives has a folder of such folders, listed in its alternatives.json.
"""

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osteolite.edge.errors import UsageError

from ..data.catalogue import Catalogue, read_catalogue
from ..recipe import Recipe, parse_recipe


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """Open a finished run.

        Raises:
            UsageError: the folder is not a run folder, or its training is unfinished.
        """
        run = cls(Path(folder))
        if not run.path("run.json").is_file():
            raise UsageError(f"{folder} is not a run folder; make one with `osteolite train`")
        if not run.path("evaluation.json").is_file():
            raise UsageError(f"{folder} holds an unfinished training; run the same `osteolite train` command again")
        return run

    def path(self, name: str) -> Path:
        return self.folder / name

    def json(self, name: str) -> Any:
        return json.loads(self.path(name).read_text(encoding="utf-8"))

    def json_or_none(self, name: str) -> Any:
        return self.json(name) if self.path(name).is_file() else None

    def predictions(self, split: str) -> list[dict[str, str]]:
        """The rows of `predictions.csv` for the validation or test split, with all values as text."""
        with self.path("predictions.csv").open(newline="", encoding="utf-8") as stream:
            return [line for line in csv.DictReader(stream) if line["part"] == split]

    @property
    def is_router(self) -> bool:
        """Whether the run is a router with stages, each with its own run folder."""
        return bool(self.json("run.json").get("kind") == "router")

    @property
    def recipe(self) -> Recipe:
        path = self.path("recipe.toml")
        return parse_recipe(path.read_text(encoding="utf-8"), str(path))

    @property
    def catalogue(self) -> Catalogue:
        about = self.json("run.json")
        return read_catalogue(self.path("catalogue.csv"), Path(about["root"]), about["layout"])

    @property
    def catalogue_sha256(self) -> str:
        """SHA-256 of the catalogue: equal for runs with the same images, groups and splits."""
        return hashlib.sha256(self.path("catalogue.csv").read_bytes()).hexdigest()

    def model(self) -> Any:
        """The trained Keras fracture model; its only output is the logit, (batch, 1)."""
        from ..networks.model import build_model, with_map_term, with_one_logit

        recipe = self.recipe
        model = build_model(recipe, None, recipe.model.outputs)
        model.load_weights(self.path("weights.h5"))
        return with_one_logit(with_map_term(model, recipe))


def open_runs(folder: str | Path) -> list[Run]:
    """Open the finished runs of one training: one run, or one for each alternative of the recipe.

    Raises:
        UsageError: the folder is not a run folder, or its training is unfinished.
    """
    listing = Path(folder) / "alternatives.json"
    if not listing.is_file():
        return [Run.open(folder)]
    listed = json.loads(listing.read_text(encoding="utf-8"))
    return [Run.open(Path(folder) / name) for name in listed["runs"]]
