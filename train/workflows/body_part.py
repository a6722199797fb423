"""The body-part network of a router: probability calibration and metrics."""

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
_HELD_OUT = ("validation", "test")


def body_part_model(run: Run) -> Any:
    """The trained Keras model of a body-part run: logits (batch, body parts) in the order of its run.json."""
    model = build_model(run.recipe, None, len(run.json("run.json")["parts"]))
    model.load_weights(run.path("weights.h5"))
    return model


def assess_body_parts(
    run: Run, recipe: Recipe, task: BodyPartTask, model: Any, prepared: Prepared, progress: Progress
) -> None:
    """Fit the temperature on the validation split, then write the metrics of validation and test into the run."""
    splits = np.array([row.split for row in prepared.catalogue.rows])
    rows = {split: prepared.catalogue.in_split(split) for split in _HELD_OUT}
    targets = {split: np.array([task.target(row) for row in rows[split]]) for split in _HELD_OUT}
    logits = {
        split: outputs_of(model, prepared.images.pixels, np.flatnonzero(splits == split), recipe) for split in _HELD_OUT
    }
    temperature = fit_temperature(targets["validation"], logits["validation"])
    evaluation: dict[str, Any] = {
        "probability_calibration": {"method": "temperature", "temperature": temperature},
        "epochs": len(progress.history),
        "unreadable": prepared.images.unreadable,
    }
    lines = []
    for split in _HELD_OUT:
        groups = np.array([row.group for row in rows[split]])
        evaluation[split] = body_part_metrics(targets[split], logits[split].argmax(axis=1), groups, task.classes)
        shares = softmax(logits[split] / temperature, axis=1)
        lines += [
            [row.file, split, row.body_part, row.group, task.classes[share.argmax()], f"{share.max():.6f}"]
            for row, share in zip(rows[split], shares, strict=True)
        ]
    columns = ["file", "part", "body_part", "group", "answer", "probability"]
    write_csv(run.path("predictions.csv"), columns, lines)
    write_json(run.path("evaluation.json"), evaluation)


def fit_temperature(targets: Array, logits: Array) -> float:
    """Find the temperature T with the lowest negative log-likelihood of softmax(logits / T) (Guo et al., 2017).

    Args:
        targets: (images,), index of the true body part.
        logits: (images, body parts).

    Returns:
        0.05 to 20. The bounds only matter when every validation image is classified correctly.
    """

    def loss(exponent: float) -> float:
        return -float(log_softmax(logits / np.exp(exponent), axis=1)[np.arange(len(targets)), targets].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded").x))


def body_part_metrics(targets: Array, predicted: Array, groups: Array, body_parts: tuple[str, ...]) -> dict[str, Any]:
    """Compute metrics with 95 % intervals, by percentile bootstrap of 1,000 draws of groups.

    Args:
        targets: (images,), index of the true body part; each body part occurs.
        predicted: (images,), index of the predicted body part.
        groups: (images,), group of each image.
        body_parts: names of the body parts.

    Returns:
        {"images", "parts", "confusion": one row for each true body part, one column for each predicted one,
        "recall": by body part, and for accuracy, balanced_accuracy, kappa and each recall:
        {"value", "low", "high"}}.
    """
    count = len(body_parts)
    cells = np.eye(count * count)[targets * count + predicted]
    point = _from_confusion(np.ones((1, len(targets))) @ cells, count)
    drawn = _from_confusion(bootstrap_weights(groups, targets, seed=0) @ cells, count)
    found = {name: _with_interval(point[name], drawn[name]) for name in ("accuracy", "balanced_accuracy", "kappa")}
    recall = {
        name: _with_interval(point["recall"][:, index], drawn["recall"][:, index])
        for index, name in enumerate(body_parts)
    }
    confusion = cells.sum(axis=0).reshape(count, count).astype(int).tolist()
    return {"images": len(targets), "parts": list(body_parts), "confusion": confusion, **found, "recall": recall}


def _from_confusion(cells: Array, count: int) -> dict[str, Array]:
    """Compute the metrics of many confusion matrices (draws, true x predicted body part) at once."""
    matrices = cells.reshape(-1, count, count)
    total, true, predicted = matrices.sum(axis=(1, 2)), matrices.sum(axis=2), matrices.sum(axis=1)
    correct = np.diagonal(matrices, axis1=1, axis2=2)
    recall, accuracy = correct / true, correct.sum(axis=1) / total
    chance = (true * predicted).sum(axis=1) / total**2  # Cohen, 1960
    kappa = (accuracy - chance) / np.where(chance == 1, 1, 1 - chance)
    return {"accuracy": accuracy, "balanced_accuracy": recall.mean(axis=1), "kappa": kappa, "recall": recall}


def _with_interval(point: Array, drawn: Array) -> dict[str, float]:
    low, high = percentile_interval(drawn)
    return {"value": round(float(point[0]), 5), "low": round(low, 5), "high": round(high, 5)}
