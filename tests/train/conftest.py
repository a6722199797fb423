"""A finished run without a training: what its network would have answered is drawn from a normal distribution."""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osteolite.edge.atomic import write_json, write_text
from osteolite.train.data.catalogue import SPLITS, Catalogue, Row, write_catalogue
from osteolite.train.recipe import Threshold, load_recipe, to_toml
from osteolite.train.runs.run_folder import Run
from osteolite.train.workflows.assess import evaluate_logits, write_predictions


def draw_rows(part: str, count: int, seed: int) -> list[Row]:
    """Radiographs in groups of four, a quarter of the groups with fractures."""
    random = np.random.default_rng((seed, SPLITS.index(part)))
    fractured = random.random(count // 4) < 0.25
    fractured[:2] = True, False
    return [
        Row(
            file=f"{part}{number:04d}.png",
            label=int(fractured[number // 4] and number % 4 < 3),
            group=f"{part} {number // 4}",
            body_part=("hand", "leg", "hand+leg", "hip")[number // 4 % 4],
            split=part,
            view=("frontal", "lateral")[number % 2],
        )
        for number in range(count)
    ]


def draw_logits(rows: list[Row], seed: int, skill: float) -> np.ndarray:
    """Logits that lie `skill` standard deviations apart for the two classes, and one too high for both."""
    noise = np.random.default_rng(seed).normal(size=len(rows))
    return np.array([skill * row.label for row in rows]) + noise + 1.0


@pytest.fixture
def finished_run(tmp_path: Path) -> Callable[..., Run]:
    """Write a run folder: name, seed of the network, seed of the data, skill, and what to change.

    `change` gets each row and gives the one to take; `about` goes into run.json, `recipe` into the recipe.
    """

    def write(
        name: str = "run",
        seed: int = 1,
        data: int = 1,
        skill: float = 2.0,
        change: Callable[[Row], Row] = lambda row: row,
        about: dict[str, Any] | None = None,
        recipe: dict[str, Any] | None = None,
    ) -> Run:
        run = Run(tmp_path / name)
        rows = {part: [change(row) for row in draw_rows(part, count, data)] for part, count in _COUNTS.items()}
        logits = {part: draw_logits(rows[part], seed, skill) for part in ("validation", "test")}
        rule = Threshold("sensitivity", 0.9)  # quick
        made = replace(load_recipe("phantoms"), threshold=rule, **(recipe or {}))
        evaluation = evaluate_logits(rows, logits, made.threshold)
        write_text(run.path("recipe.toml"), to_toml(made))
        write_json(run.path("run.json"), {**_ABOUT, "seed": seed, **(about or {})})
        write_catalogue(Catalogue(tmp_path, "classes", tuple(chain(*rows.values()))), run.path("catalogue.csv"))
        history = [{"loss": 0.6, "validation": 0.7}, {"loss": 0.4, "validation": 0.8}]
        write_json(run.path("progress.json"), {"history": history})
        write_predictions(run, rows, logits, evaluation["probability_calibration"])
        write_json(run.path("evaluation.json"), {**evaluation, "epochs": 2, "unreadable": {"bad.png": "damaged"}})
        return run

    return write


_COUNTS = {"train": 40, "validation": 240, "test": 400}
_ABOUT = {
    "recipe": "phantoms",
    "attribution": "",
    "data": "/data/two words",
    "root": "/data/two words",
    "layout": "classes",
    "weights": {"start": "none (random)"},
    "versions": {"osteolite": "0.1.0"},
}
