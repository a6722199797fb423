"""The prediction for one image as HTML. All text from files is escaped."""

from html import escape

from osteolite.edge.imaging.radiograph import FORMATS
from osteolite.edge.labels import FRACTURED
from osteolite.edge.modelfile.description import ModelDescription
from osteolite.edge.prediction.prediction import Prediction

from . import threshold_slider

NOTE = "Research use only: no diagnosis."


def header() -> str:
    """The head of the page: its purpose and its limit."""
    return (
        '<header class="osteo-head"><h1>Osteolite</h1>'
        "<p>A small model gives the probability that an X-ray image of a bone shows a fracture.</p>"
        f'<p class="osteo-note">{NOTE}</p></header>'
    )


def upload_rules(max_bytes: int, seconds: int) -> str:
    """The accepted formats, the size limit in bytes, and after how many seconds an upload is deleted."""
    return (
        f'<p class="osteo-small">{", ".join(FORMATS)} or DICOM, 8 to 16 bit, up to {max_bytes // 1024**2} MiB. '
        f"The upload is deleted within {seconds // 60} minutes.</p>"
    )


def placeholder() -> str:
    """The card shown before the first prediction."""
    return '<section class="osteo-card osteo-waiting"><p>The answer appears here.</p></section>'


def problem(message: str, kicker: str = "Not scored") -> str:
    """The card of an image that was not scored, with the reason in one line."""
    return (
        f'<section class="osteo-card osteo-problem" role="alert"><p class="osteo-kicker">{escape(kicker)}</p>'
        f"<p>{escape(message)}</p></section>"
    )


def answer(prediction: Prediction) -> str:
    """The card of a scored image: label, probability, threshold, warnings, body part."""
    fractured = prediction.label == FRACTURED
    side = "at or above" if fractured else "below"
    body_part = ""
    if prediction.body_part is not None:
        body_part = (
            f"<p>Body part: <b>{escape(prediction.body_part)}</b>, probability "
            f"<b>{prediction.body_part_probability:.3f}</b></p>"
        )
    return (
        f'<section class="osteo-card osteo-answer osteo-{tone(prediction)}">'
        f'<div role="status"><p class="osteo-kicker">The model says</p><h2>{escape(prediction.label.capitalize())}</h2>'
        f"<p>Fracture probability <b>{prediction.fracture_probability:.3f}</b>, {side} "
        f"the threshold of {prediction.threshold:.3f}</p>{body_part}</div>"
        f"{_warnings(prediction)}{_bar(prediction.fracture_probability, prediction.threshold)}"
        f'<p class="osteo-note">{NOTE}</p></section>'
    )


def details(prediction: Prediction, name: str, variant: str, description: ModelDescription) -> str:
    """The card with the threshold slider, the model and the time by step.

    Args:
        prediction: the prediction for the image.
        name: the name by which the model was chosen.
        variant: the model's variant, such as "int8".
        description: the description of the fracture model that gave the prediction.
    """
    milliseconds = prediction.milliseconds
    times = {step: f"{value:.1f} ms" for step, value in milliseconds.items()}
    return (
        f'<section class="osteo-card osteo-details">{threshold_slider.panel(prediction, description)}'
        '<div class="osteo-facts">'
        f"{_list('Model', {'name': name, 'variant': variant})}"
        f"{_list('Time', {**times, 'total': f'{sum(milliseconds.values()):.1f} ms'})}</div></section>"
    )


def tone(prediction: Prediction) -> str:
    """The end of the CSS class that colours the label."""
    return "fractured" if prediction.label == FRACTURED else "normal"


def _warnings(prediction: Prediction) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in prediction.warnings.values())
    return f'<ul class="osteo-warnings" role="alert">{items}</ul>' if items else ""


def _bar(probability: float, threshold: float) -> str:
    return (
        '<div class="osteo-scale" aria-hidden="true">'
        f'<div class="osteo-bar"><i style="width:{probability:.2%}"></i></div>'
        f'<b style="left:{threshold:.2%}"></b>'
        f'<span>0</span><span style="--at:{threshold:.2%}">threshold</span><span>1</span></div>'
    )


def _list(title: str, rows: dict[str, str]) -> str:
    inner = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows.items())
    return f'<div><p class="osteo-kicker">{title}</p><dl>{inner}</dl></div>'
