"""The run folder: everything that one training leaves behind, and how to read it again.

recipe.toml      the recipe, as it was read
run.json         data, seed, starting weights, versions
catalogue.csv    every image with its label, group and part
test.csv         path and label of the test images, for `osteolite bench`
seen.txt         SHA-256 of each file that the weights were trained on, in a first round too
cache/           the fitted pixels
progress.json    epochs done; checkpoints/ and weights.h5 go with it
logs/            the same for TensorBoard
predictions.csv  the fracture probability of each validation and test image
evaluation.json  probability calibration, threshold, figures of validation and test
models/          what `osteolite convert` released, with conversion.json
benchmark.json   what `osteolite bench` measured
pointing.json    what `osteolite explain` found where the data has fracture boxes
report.html      all of it, to read
card.md          the model card
stages/          of a router: one such folder for each of its networks

A recipe with alternatives leaves a folder of such folders, named in its alternatives.json.
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
        """A finished run.

        Raises:
            UsageError: no run folder, or a training that did not end.
        """
        run = cls(Path(folder))
        if not run.path("run.json").is_file():
            raise UsageError(f"{folder} is no run folder; `osteolite train` makes one")
        if not run.path("evaluation.json").is_file():
            raise UsageError(f"{folder} holds a training that did not end; call the same `osteolite train` again")
        return run

    def path(self, name: str) -> Path:
        return self.folder / name

    def json(self, name: str) -> Any:
        return json.loads(self.path(name).read_text(encoding="utf-8"))

    def json_or_none(self, name: str) -> Any:
        return self.json(name) if self.path(name).is_file() else None

    def predictions(self, part: str) -> list[dict[str, str]]:
        """The lines of `predictions.csv` of the validation or the test part, as text."""
        with self.path("predictions.csv").open(newline="", encoding="utf-8") as stream:
            return [line for line in csv.DictReader(stream) if line["part"] == part]

    @property
    def is_router(self) -> bool:
        """Whether it is two stages, each a run of its own."""
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
        """Of its catalogue: the same for runs of the same images, groups and parts."""
        return hashlib.sha256(self.path("catalogue.csv").read_bytes()).hexdigest()

    def model(self) -> Any:
        """The trained fracture model of Keras, whose one output is the logit, (batch, 1)."""
        from ..networks.model import build_model, with_map_term, with_one_logit

        recipe = self.recipe
        model = build_model(recipe, None, recipe.model.outputs)
        model.load_weights(self.path("weights.h5"))
        return with_one_logit(with_map_term(model, recipe))


def open_runs(folder: str | Path) -> list[Run]:
    """The finished runs of one training: one, or of a recipe with alternatives one for each.

    Raises:
        UsageError: no run folder, or a training that did not end.
    """
    listing = Path(folder) / "alternatives.json"
    if not listing.is_file():
        return [Run.open(folder)]
    listed = json.loads(listing.read_text(encoding="utf-8"))
    return [Run.open(Path(folder) / name) for name in listed["runs"]]
