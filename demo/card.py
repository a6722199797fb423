"""What the page shows, as HTML: whatever comes from a file is escaped."""

from html import escape

from osteolite.edge.labels import FRACTURED
from osteolite.edge.prediction import Prediction
from osteolite.edge.radiograph import FORMATS

NOTE = "Research use only: no diagnosis."


def header(max_bytes: int) -> str:
    """The head of the page: what it does, what it takes, and what it is not."""
    formats = ", ".join(FORMATS[:-1]) + " or " + FORMATS[-1]
    return (
        '<header class="osteo-head"><h1>Osteolite</h1>'
        "<p>Upload an X-ray image of a bone: a small model gives the probability that it shows a fracture.</p>"
        f'<p class="osteo-note">{NOTE}</p>'
        f'<p class="osteo-small">{formats}, 8 or 16 bit, up to {max_bytes // 1024**2} MiB. '
        "The upload is deleted within minutes.</p></header>"
    )


def waiting() -> str:
    """The card while there is nothing to show."""
    return '<section class="osteo-card osteo-waiting"><p>The answer appears here.</p></section>'


def problem(message: str) -> str:
    """The card of an image that was not scored, with the one line that says why."""
    return (
        '<section class="osteo-card osteo-problem" role="alert"><p class="osteo-kicker">Not scored</p>'
        f"<p>{escape(message)}</p></section>"
    )


def preview(uri: str) -> str:
    """The uploaded image as it was read, or nothing for an empty `uri`."""
    if not uri:
        return ""
    return (
        f'<figure class="osteo-preview"><img src="{escape(uri)}" alt="The uploaded radiograph">'
        "<figcaption>As read, in 8-bit grey</figcaption></figure>"
    )


def answer(prediction: Prediction, variant: str) -> str:
    """The card of a scored image."""
    fractured = prediction.label == FRACTURED
    side = "at or above" if fractured else "below"
    return (
        f'<section class="osteo-card osteo-{"fractured" if fractured else "normal"}" aria-live="polite">'
        f'<p class="osteo-kicker">The model says</p><h2>{escape(prediction.label.capitalize())}</h2>'
        f"<p>Fracture probability <b>{prediction.fracture_probability:.3f}</b>, {side} "
        f"the threshold of {prediction.threshold:.3f}</p>"
        f"{_doubts(prediction)}"
        f"{_bar(prediction.fracture_probability, prediction.threshold)}{_facts(prediction, variant)}"
        f'<p class="osteo-note">{NOTE}</p></section>'
    )


def _doubts(prediction: Prediction) -> str:
    said = "".join(f"<li>{escape(text)}</li>" for text in prediction.warnings.values())
    return f'<ul class="osteo-doubts" role="alert">{said}</ul>' if said else ""


def _bar(probability: float, threshold: float) -> str:
    return (
        '<div class="osteo-scale" aria-hidden="true">'
        f'<div class="osteo-bar"><i style="width:{probability:.2%}"></i></div>'
        f'<b style="left:{threshold:.2%}"></b>'
        f'<span>0</span><span style="--at:{threshold:.2%}">threshold</span><span>1</span></div>'
    )


def _facts(prediction: Prediction, variant: str) -> str:
    spent = prediction.milliseconds
    times = {step: f"{milliseconds:.1f} ms" for step, milliseconds in spent.items()}
    part = ""
    if prediction.body_part is not None:
        found = {"found": prediction.body_part, "probability": f"{prediction.body_part_probability:.3f}"}
        part = _list("Body part", found)
    model = part + _list("Model", {"name": prediction.model, "variant": variant})
    return f'<div class="osteo-facts">{model}{_list("Time", {**times, "total": f"{sum(spent.values()):.1f} ms"})}</div>'


def _list(title: str, rows: dict[str, str]) -> str:
    inner = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows.items())
    return f'<div><p class="osteo-kicker">{title}</p><dl>{inner}</dl></div>'


CSS = """
.gradio-container { width: 100%; max-width: 1040px !important; margin: 0 auto !important; }
.html-container { padding: 0 !important; }
footer .divider { display: none !important; }
.osteo-head h1 { margin: 0; font-size: 1.7rem; }
.osteo-head p { margin: .25rem 0; }
.osteo-note { font-weight: 700; }
.osteo-small, .osteo-kicker, .osteo-waiting, .osteo-scale span, .osteo-facts dt, .osteo-preview figcaption {
  color: color-mix(in srgb, var(--body-text-color) 72%, transparent);
}
.osteo-small, .osteo-kicker, .osteo-preview figcaption { font-size: .85rem; }
.osteo-card {
  --tone: transparent;
  padding: 1.1rem 1.5rem; border-radius: 8px; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); box-shadow: inset 6px 0 0 var(--tone);
}
.osteo-card p { margin: .35rem 0; }
.osteo-card h2 { margin: 0; font-size: 2rem; line-height: 1.2; color: var(--tone); }
.osteo-waiting { min-height: 150px; display: grid; place-items: center; border-style: dashed; }
.osteo-fractured { --tone: #c2410c; }
.osteo-normal { --tone: #0f766e; }
.osteo-problem { --tone: #b91c1c; overflow-wrap: anywhere; }
.dark .osteo-fractured { --tone: #fb923c; }
.dark .osteo-normal { --tone: #2dd4bf; }
.dark .osteo-problem { --tone: #f87171; }
.osteo-doubts { margin: .5rem 0; padding: .5rem 1rem .5rem 2rem; border-radius: 8px; font-weight: 600;
  background: color-mix(in srgb, #f59e0b 22%, transparent); }
.osteo-scale { position: relative; margin: 1rem 0 .5rem; padding-bottom: 1.6rem; }
.osteo-bar { height: 1rem; border-radius: .5rem; overflow: hidden; background: var(--border-color-primary); }
.osteo-bar i { display: block; height: 100%; background: var(--tone); }
.osteo-scale b { position: absolute; top: -.3rem; width: 3px; height: 1.6rem; margin-left: -1.5px;
  border-radius: 2px; background: var(--body-text-color); }
.osteo-scale span { position: absolute; top: 1.4rem; font-size: .8rem; }
.osteo-scale span:nth-of-type(2) { left: clamp(3rem, var(--at), calc(100% - 3rem)); transform: translateX(-50%);
  color: var(--body-text-color); }
.osteo-scale span:last-child { right: 0; }
.osteo-facts { display: flex; flex-wrap: wrap; gap: .25rem 3rem; margin: .75rem 0; font-size: .9rem; }
.osteo-facts dl { display: grid; grid-template-columns: max-content auto; gap: .1rem 1rem; margin: 0; }
.osteo-facts dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.osteo-preview { margin: 0; text-align: center; }
.osteo-preview img { max-width: 100%; max-height: 60vh; margin: 0 auto; border-radius: 8px; background: black; }
.osteo-preview figcaption { margin-top: .3rem; }
@media (max-width: 640px) { .osteo-preview img { max-height: 38vh; } }
"""
