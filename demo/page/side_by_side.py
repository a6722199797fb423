"""One radiograph scored by all models, side by side."""

import time
from collections.abc import Callable
from html import escape
from statistics import median

from PIL import Image

from osteolite.edge.prediction.prediction import Prediction

from ..service.model_set import ModelSet
from . import answer_card
from .overlay import heat_uri, radiograph_uri

SIDE = 320  # maximum side of each picture, pixels
_RUNS = 5  # maximum timed runs of each model
_SECONDS = 1.0  # time limit for the timed runs of one model

Progress = Callable[[int, str], None]


def side_by_side(models: ModelSet, image: bytes, progress: Progress) -> str:
    """One card for each model: heatmap, probability, label, size, time, and the difference from the first model.

    Args:
        models: the models to compare.
        image: the bytes of an image file.
        progress: called with the number of finished models and the name of the next.

    Raises:
        ImageError: the image cannot be read.
        ModelFileError: a model's output is not a finite number.
    """
    answers: dict[str, tuple[Prediction, float]] = {}
    for number, name in enumerate(models.names):
        progress(number, name)
        prediction, radiograph = models.predict_with_image(image, name)
        answers[name] = prediction, _median_ms(models, name)
    radiograph.thumbnail((SIDE, SIDE))
    first = models.names[0]
    cards = "".join(_card(models, radiograph, name, *answers[name], answers[first][0]) for name in answers)
    labels = {prediction.label for prediction, _ in answers.values()}
    agreement = "All models agree on the label" if len(labels) == 1 else "The models disagree on the label"
    probabilities = [prediction.fracture_probability for prediction, _ in answers.values()]
    return (
        f'<section class="osteo-compared" style="--radiograph:url({radiograph_uri(radiograph)});'
        f'--ratio:{radiograph.width / radiograph.height:.4f}">'
        f'<p role="status"><b>{agreement}.</b> Probabilities from {min(probabilities):.3f} to '
        f"{max(probabilities):.3f}.</p>"
        f'<ul>{cards}</ul><p class="osteo-small">Differences are from {escape(first)}. Time is that of the network '
        f"alone, the median of up to {_RUNS} runs on the machine that serves this page.</p></section>"
    )


def _median_ms(models: ModelSet, name: str) -> float:
    """The median time of the networks alone. Run after the prediction, so that the first run's set-up is not timed."""
    times, end = list[float](), time.monotonic() + _SECONDS
    while not times or (len(times) < _RUNS and time.monotonic() < end):
        times.append(models.network_ms(name))
    return median(times)


def _card(
    models: ModelSet, radiograph: Image.Image, name: str, prediction: Prediction, milliseconds: float, first: Prediction
) -> str:
    spec = models.fracture_description(name, prediction).preprocessing
    heat = heat_uri(prediction, spec, radiograph.size, SIDE)
    missing = "no heatmap" if prediction.activation_map is None else "heatmap empty"
    over = f'<img src="{heat}" alt="Heatmap">' if heat else f"<span>{missing}</span>"
    rows = {
        "difference": _difference(prediction, first),
        "threshold": f"{prediction.threshold:.3f}",
        "size": f"{models.path(name).stat().st_size / 1e6:.2f} MB",
        "time": f"{milliseconds:.1f} ms",
    }
    facts = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in rows.items())
    other = " osteo-other" if prediction.label != first.label else ""
    return (
        f'<li class="osteo-card osteo-{answer_card.tone(prediction)}{other}"><div class="osteo-thumb">{over}</div>'
        f'<h3>{escape(models.variant(name))}</h3><p class="osteo-small">{escape(name)}</p>'
        f'<p class="osteo-label">{escape(prediction.label.capitalize())}'
        f"{' (another label)' if other else ''}</p>"
        f"<p>Probability <b>{prediction.fracture_probability:.3f}</b></p>"
        f'<div class="osteo-scale" aria-hidden="true"><div class="osteo-bar">'
        f'<i style="width:{prediction.fracture_probability:.2%}"></i></div>'
        f'<b style="left:{prediction.threshold:.2%}"></b></div><dl>{facts}</dl></li>'
    )


def _difference(prediction: Prediction, first: Prediction) -> str:
    if prediction is first:
        return "the first"
    return f"{prediction.fracture_probability - first.fracture_probability:+.3f}"
