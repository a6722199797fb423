"""A finished run without training: its logits are drawn from a normal distribution."""

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

Array = np.ndarray[Any, Any]


def draw_rows(split: str, count: int, seed: int) -> list[Row]:
    """Rows of radiographs in groups of four; a quarter of the groups have fractures."""
    random = np.random.default_rng((seed, SPLITS.index(split)))
    fractured = random.random(count // 4) < 0.25
    fractured[:2] = True, False
    return [
        Row(
            file=f"{split}{number:04d}.png",
            label=int(fractured[number // 4] and number % 4 < 3),
            group=f"{split} {number // 4}",
            body_part=("hand", "leg", "hand+leg", "hip")[number // 4 % 4],
            split=split,
            view=("frontal", "lateral")[number % 2],
        )
        for number in range(count)
    ]


def draw_logits(rows: list[Row], seed: int, skill: float) -> Array:
    """Logits of two classes that are `skill` standard deviations apart; all are too high by one."""
    noise = np.random.default_rng(seed).normal(size=len(rows))
    return np.asarray(np.array([skill * row.label for row in rows]) + noise + 1.0)


@pytest.fixture
def finished_run(tmp_path: Path) -> Callable[..., Run]:
    """A function that writes a run folder.

    `seed` is for the logits and `data` for the rows; `skill` is the distance of the classes. `change` returns
    the row to use in place of each row, `about` goes into run.json, and `recipe` into the recipe.
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
        rows = {split: [change(row) for row in draw_rows(split, count, data)] for split, count in _COUNTS.items()}
        logits = {split: draw_logits(rows[split], seed, skill) for split in ("validation", "test")}
        rule = Threshold("sensitivity", 0.9)  # the fastest rule
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
