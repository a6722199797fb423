"""What the page says of one image, as HTML: whatever comes from a file is escaped."""

from html import escape

from osteolite.edge.imaging.radiograph import FORMATS
from osteolite.edge.labels import FRACTURED
from osteolite.edge.modelfile.description import ModelDescription
from osteolite.edge.prediction.prediction import Prediction

from . import threshold_slider

NOTE = "Research use only: no diagnosis."


def header() -> str:
    """The head of the page: what it does, and what it is not."""
    return (
        '<header class="osteo-head"><h1>Osteolite</h1>'
        "<p>A small model gives the probability that an X-ray image of a bone shows a fracture.</p>"
        f'<p class="osteo-note">{NOTE}</p></header>'
    )


def accepted(max_bytes: int, seconds: int) -> str:
    """What may be uploaded, and what becomes of it."""
    return (
        f'<p class="osteo-small">{", ".join(FORMATS)} or DICOM, 8 to 16 bit, up to {max_bytes // 1024**2} MiB. '
        f"The upload is deleted within minutes, at the latest after {seconds // 60}.</p>"
    )


def waiting() -> str:
    """The card while there is nothing to show."""
    return '<section class="osteo-card osteo-waiting"><p>The answer appears here.</p></section>'


def problem(message: str, kicker: str = "Not scored") -> str:
    """The card of an image that was not scored, with the one line that says why."""
    return (
        f'<section class="osteo-card osteo-problem" role="alert"><p class="osteo-kicker">{escape(kicker)}</p>'
        f"<p>{escape(message)}</p></section>"
    )


def answer(prediction: Prediction) -> str:
    """The card of a scored image: label, probability against the threshold, warnings, body part."""
    fractured = prediction.label == FRACTURED
    side = "at or above" if fractured else "below"
    part = ""
    if prediction.body_part is not None:
        part = (
            f"<p>Body part: <b>{escape(prediction.body_part)}</b>, probability "
            f"<b>{prediction.body_part_probability:.3f}</b></p>"
        )
    return (
        f'<section class="osteo-card osteo-answer osteo-{tone(prediction)}">'
        f'<div role="status"><p class="osteo-kicker">The model says</p><h2>{escape(prediction.label.capitalize())}</h2>'
        f"<p>Fracture probability <b>{prediction.fracture_probability:.3f}</b>, {side} "
        f"the threshold of {prediction.threshold:.3f}</p>{part}</div>"
        f"{_doubts(prediction)}{_bar(prediction.fracture_probability, prediction.threshold)}"
        f'<p class="osteo-note">{NOTE}</p></section>'
    )


def details(prediction: Prediction, name: str, variant: str, answering: ModelDescription) -> str:
    """The card below it: other thresholds, the model, and where the time went.

    Args:
        prediction: of the image.
        name: of the model, by which it was chosen.
        variant: of the model.
        answering: description of the fracture model that answered.
    """
    spent = prediction.milliseconds
    times = {step: f"{milliseconds:.1f} ms" for step, milliseconds in spent.items()}
    return (
        f'<section class="osteo-card osteo-details">{threshold_slider.panel(prediction, answering)}'
        '<div class="osteo-facts">'
        f"{_list('Model', {'name': name, 'variant': variant})}"
        f"{_list('Time', {**times, 'total': f'{sum(spent.values()):.1f} ms'})}</div></section>"
    )


def tone(prediction: Prediction) -> str:
    """The part of a class name that gives the label its colour."""
    return "fractured" if prediction.label == FRACTURED else "normal"


def _doubts(prediction: Prediction) -> str:
    said = "".join(f"<li>{escape(text)}</li>" for text in prediction.warnings.values())
    return f'<ul class="osteo-doubts" role="alert">{said}</ul>' if said else ""


def _bar(probability: float, at: float) -> str:
    return (
        '<div class="osteo-scale" aria-hidden="true">'
        f'<div class="osteo-bar"><i style="width:{probability:.2%}"></i></div>'
        f'<b style="left:{at:.2%}"></b>'
        f'<span>0</span><span style="--at:{at:.2%}">threshold</span><span>1</span></div>'
    )


def _list(title: str, rows: dict[str, str]) -> str:
    inner = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows.items())
    return f'<div><p class="osteo-kicker">{title}</p><dl>{inner}</dl></div>'
