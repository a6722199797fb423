"""The same radiograph through all models, side by side."""

import time
from collections.abc import Callable
from html import escape
from statistics import median

from PIL import Image

from osteolite.edge.prediction.prediction import Prediction

from ..service.model_set import ModelSet
from . import answer_card
from .overlay import heat_uri, radiograph_uri

SIDE = 320  # pixels of each picture, at most
_RUNS = 5
_SECONDS = 1.0  # after which a model is not run again

Progress = Callable[[int, str], None]


def side_by_side(scorer: ModelSet, image: bytes, progress: Progress) -> str:
    """A card a model: heatmap, probability, label, size and time, and what differs from the first one.

    Args:
        scorer: the models.
        image: bytes of an image file.
        progress: told the number of models done and the name of the next.

    Raises:
        ImageError: the image cannot be read.
        ModelFileError: a model gives no finite number.
    """
    answers: dict[str, tuple[Prediction, float]] = {}
    for number, name in enumerate(scorer.names):
        progress(number, name)
        prediction, radiograph = scorer.predict_with_image(image, name)
        answers[name] = prediction, _median_ms(scorer, name)
    radiograph.thumbnail((SIDE, SIDE))
    first = scorer.names[0]
    cards = "".join(_card(scorer, radiograph, name, *answers[name], answers[first][0]) for name in answers)
    labels = {prediction.label for prediction, _ in answers.values()}
    agreed = "all models agree on the label" if len(labels) == 1 else "the models disagree on the label"
    shares = [prediction.fracture_probability for prediction, _ in answers.values()]
    return (
        f'<section class="osteo-compared" style="--radiograph:url({radiograph_uri(radiograph)});'
        f'--ratio:{radiograph.width / radiograph.height:.4f}">'
        f'<p role="status"><b>{agreed.capitalize()}.</b> Probabilities from {min(shares):.3f} to {max(shares):.3f}.</p>'
        f'<ul>{cards}</ul><p class="osteo-small">Differences are to {escape(first)}. Time: of the network alone, '
        f"median of up to {_RUNS} runs on the machine that serves this page.</p></section>"
    )


def _median_ms(scorer: ModelSet, name: str) -> float:
    """Of the networks alone, after the answer: a first run pays for what later ones find ready."""
    spent, end = list[float](), time.monotonic() + _SECONDS
    while not spent or (len(spent) < _RUNS and time.monotonic() < end):
        spent.append(scorer.network_ms(name))
    return median(spent)


def _card(
    scorer: ModelSet, radiograph: Image.Image, name: str, prediction: Prediction, spent: float, first: Prediction
) -> str:
    spec = scorer.answering(name, prediction).preprocessing
    heat = heat_uri(prediction, spec, radiograph.size, SIDE)
    missing = "no heatmap" if prediction.activation_map is None else "heatmap empty"
    over = f'<img src="{heat}" alt="Its heatmap">' if heat else f"<span>{missing}</span>"
    rows = {
        "difference": _difference(prediction, first),
        "threshold": f"{prediction.threshold:.3f}",
        "size": f"{scorer.path(name).stat().st_size / 1e6:.2f} MB",
        "time": f"{spent:.1f} ms",
    }
    facts = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in rows.items())
    other = " osteo-other" if prediction.label != first.label else ""
    return (
        f'<li class="osteo-card osteo-{answer_card.tone(prediction)}{other}"><div class="osteo-thumb">{over}</div>'
        f'<h3>{escape(scorer.variant(name))}</h3><p class="osteo-small">{escape(name)}</p>'
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
