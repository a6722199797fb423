"""The label at another threshold, and the sensitivity and specificity that the model card states there."""

import json
from html import escape
from typing import Any

from osteolite.edge.labels import FRACTURED, NORMAL
from osteolite.edge.modelfile.description import ModelDescription
from osteolite.edge.prediction.prediction import Prediction

_MAX_POINTS = 1000
_UNSTATED = "The model card states no sensitivity and specificity for other thresholds."


def operating_points(description: ModelDescription) -> list[list[float]]:
    """The model card's points (threshold, sensitivity, specificity); empty when they are missing or invalid."""
    evaluation = description.details.get("evaluation")
    points = evaluation.get("operating_points") if isinstance(evaluation, dict) else None
    if not isinstance(points, list) or len(points) > _MAX_POINTS:
        return []
    valid = all(isinstance(point, list) and len(point) == 3 and all(map(_is_share, point)) for point in points)
    return points if valid else []


def panel(prediction: Prediction, description: ModelDescription) -> str:
    """A threshold slider, with the label and the model card's figures at the chosen threshold; page.js moves it.

    Args:
        prediction: the prediction for the image.
        description: the description of the fracture model that gave the prediction.
    """
    own, points = prediction.threshold, operating_points(description)
    stated = f"<p>{_stated(description, min(points, key=lambda point: abs(point[0] - own)))}</p>" if points else ""
    return (
        f'<div class="osteo-threshold" data-probability="{prediction.fracture_probability!r}" data-own="{own!r}" '
        f'data-points="{escape(json.dumps(points))}" data-labels="{FRACTURED.capitalize()},{NORMAL.capitalize()}">'
        '<label class="osteo-slider"><span>Another threshold</span>'
        f'<input type="range" class="osteo-threshold-input" min="0.01" max="0.99" step="0.01" value="{own:.2f}" '
        f'aria-valuetext="{own:.3f}, the model\'s own"></label>'
        f'<div class="osteo-outcome" role="status"><p>At <b data-field="threshold">{own:.3f}</b>'
        f'<span data-field="own"> (the model\'s own)</span> the label is '
        f'<b data-field="label">{escape(prediction.label.capitalize())}</b>.</p>{stated or f"<p>{_UNSTATED}</p>"}</div>'
        '<button type="button" class="osteo-button osteo-reset" disabled>Back to the model\'s own</button></div>'
    )


def _stated(description: ModelDescription, point: list[float]) -> str:
    return (
        f"{escape(_test_set(description.details['evaluation']))} the model card states "
        f'<b>sensitivity <span data-field="sensitivity">{point[1]:.3f}</span></b> and '
        f'<b>specificity <span data-field="specificity">{point[2]:.3f}</span></b> '
        f'at <span data-field="point">{point[0]:.2f}</span>.'
    )


def _test_set(evaluation: dict[str, Any]) -> str:
    """Where the figures come from: `On the test split (580 images, 106 fractured) of its training data`."""
    split = evaluation.get("part")
    unit = "studies" if evaluation.get("unit") == "study" else "images"
    counts = [
        f"{evaluation[key]:,} {word}"
        for key, word in (("count", unit), (FRACTURED, FRACTURED))
        if isinstance(evaluation.get(key), int)
    ]
    named = f"On the {split} split" if isinstance(split, str) and split else "On a split"
    return named + (f" ({', '.join(counts)})" if counts else "") + " of its training data"


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
