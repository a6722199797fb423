"""The body-part network of a router: its probability calibration and its figures."""

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from osteolite.edge.atomic import write_csv, write_json

from ..fitting.fit import Progress, outputs_of
from ..fitting.tasks import BodyPartTask
from ..metrics.bootstrap import bootstrap_weights, percentile_interval
from ..networks.model import build_model
from ..recipe import Recipe
from ..runs.prepared import Prepared
from ..runs.run_folder import Run

Array = np.ndarray[Any, Any]
_PARTS = ("validation", "test")


def body_part_model(run: Run) -> Any:
    """The trained Keras model of a body-part run: logits (batch, body parts) in the order of its run.json."""
    model = build_model(run.recipe, None, len(run.json("run.json")["parts"]))
    model.load_weights(run.path("weights.h5"))
    return model


def assess_body_parts(
    run: Run, recipe: Recipe, task: BodyPartTask, model: Any, prepared: Prepared, progress: Progress
) -> None:
    """Fit the temperature on validation, then write the figures of validation and test into the run."""
    parts = np.array([row.split for row in prepared.catalogue.rows])
    rows = {part: prepared.catalogue.in_split(part) for part in _PARTS}
    targets = {part: np.array([task.target(row) for row in rows[part]]) for part in _PARTS}
    logits = {part: outputs_of(model, prepared.images.pixels, np.flatnonzero(parts == part), recipe) for part in _PARTS}
    temperature = fit_temperature(targets["validation"], logits["validation"])
    evaluation: dict[str, Any] = {
        "probability_calibration": {"method": "temperature", "temperature": temperature},
        "epochs": len(progress.history),
        "unreadable": prepared.images.unreadable,
    }
    lines = []
    for part in _PARTS:
        groups = np.array([row.group for row in rows[part]])
        evaluation[part] = body_part_metrics(targets[part], logits[part].argmax(axis=1), groups, task.classes)
        shares = softmax(logits[part] / temperature, axis=1)
        lines += [
            [row.file, part, row.body_part, row.group, task.classes[share.argmax()], f"{share.max():.6f}"]
            for row, share in zip(rows[part], shares, strict=True)
        ]
    columns = ["file", "part", "body_part", "group", "answer", "probability"]
    write_csv(run.path("predictions.csv"), columns, lines)
    write_json(run.path("evaluation.json"), evaluation)


def fit_temperature(targets: Array, logits: Array) -> float:
    """The temperature T of the lowest negative log-likelihood of softmax(logits / T) (Guo et al., 2017).

    Args:
        targets: the index of each image's true body part.
        logits: (images, body parts).

    Returns:
        0.05 to 20; the bounds only matter where the validation part is told without one mistake.
    """

    def loss(exponent: float) -> float:
        return -float(log_softmax(logits / np.exp(exponent), axis=1)[np.arange(len(targets)), targets].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded").x))


def body_part_metrics(targets: Array, answers: Array, groups: Array, parts: tuple[str, ...]) -> dict[str, Any]:
    """Figures of the answers with 95 % intervals, by percentile bootstrap of 1,000 draws of groups.

    Args:
        targets: the index of each image's true body part; each occurs.
        answers: the index of the part that was answered.
        groups: of each image.
        parts: their names.

    Returns:
        {"images", "parts", "confusion": one row for each true part, one column for each answer, and
        for accuracy, balanced_accuracy, kappa and each part of recall: {"value", "low", "high"}}.
    """
    count = len(parts)
    cells = np.eye(count * count)[targets * count + answers]
    point = _of_confusion(np.ones((1, len(targets))) @ cells, count)
    drawn = _of_confusion(bootstrap_weights(groups, targets, seed=0) @ cells, count)
    found = {name: _with_interval(point[name], drawn[name]) for name in ("accuracy", "balanced_accuracy", "kappa")}
    recall = {
        part: _with_interval(point["recall"][:, index], drawn["recall"][:, index]) for index, part in enumerate(parts)
    }
    confusion = cells.sum(axis=0).reshape(count, count).astype(int).tolist()
    return {"images": len(targets), "parts": list(parts), "confusion": confusion, **found, "recall": recall}


def _of_confusion(cells: Array, count: int) -> dict[str, Array]:
    """The figures of many confusion matrices (draws, true part x answer) at once."""
    matrices = cells.reshape(-1, count, count)
    total, truth, answered = matrices.sum(axis=(1, 2)), matrices.sum(axis=2), matrices.sum(axis=1)
    right = np.diagonal(matrices, axis1=1, axis2=2)
    recall, accuracy = right / truth, right.sum(axis=1) / total
    chance = (truth * answered).sum(axis=1) / total**2  # Cohen, 1960
    kappa = (accuracy - chance) / np.where(chance == 1, 1, 1 - chance)
    return {"accuracy": accuracy, "balanced_accuracy": recall.mean(axis=1), "kappa": kappa, "recall": recall}


def _with_interval(point: Array, drawn: Array) -> dict[str, float]:
    low, high = percentile_interval(drawn)
    return {"value": round(float(point[0]), 5), "low": round(low, 5), "high": round(high, 5)}
