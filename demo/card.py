"""What the page shows, as HTML: whatever comes from a file is escaped."""

from html import escape

from osteolite.edge.classifier import Prediction
from osteolite.edge.labels import FRACTURED
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
    """The uploaded image as the model was shown it, or nothing for an empty `uri`."""
    if not uri:
        return ""
    return (
        f'<figure class="osteo-preview"><img src="{escape(uri)}" alt="The uploaded radiograph">'
        "<figcaption>As the model sees it: 8-bit grey</figcaption></figure>"
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
        f"{_bar(prediction.fracture_probability, prediction.threshold)}{_facts(prediction, variant)}"
        f'<p class="osteo-note">{NOTE}</p></section>'
    )


def _bar(probability: float, threshold: float) -> str:
    return (
        '<div class="osteo-scale" aria-hidden="true">'
        f'<div class="osteo-bar"><i style="width:{probability:.2%}"></i></div>'
        f'<b style="left:{threshold:.2%}"></b>'
        f'<span>0</span><span style="--at:{threshold:.2%}">threshold</span><span>1</span></div>'
    )


def _facts(prediction: Prediction, variant: str) -> str:
    spent = prediction.milliseconds
    times = "".join(
        f"<tr><th scope='row'>{escape(step)}</th><td>{milliseconds:.1f} ms</td></tr>"
        for step, milliseconds in [*spent.items(), ("in all", sum(spent.values()))]
    )
    return (
        '<div class="osteo-facts"><table><caption>Model</caption>'
        f"<tr><th scope='row'>name</th><td>{escape(prediction.model)}</td></tr>"
        f"<tr><th scope='row'>variant</th><td>{escape(variant)}</td></tr></table>"
        f"<table><caption>Time</caption>{times}</table></div>"
    )


CSS = """
.gradio-container { max-width: 1040px !important; margin: 0 auto !important; }
.osteo-head h1 { margin: 0; font-size: 1.7rem; }
.osteo-head p { margin: .25rem 0; }
.osteo-note { font-weight: 600; }
.osteo-small { font-size: .85rem; color: var(--body-text-color-subdued); }
.osteo-card {
  --tone: var(--body-text-color-subdued);
  padding: 1.1rem 1.25rem; border: 1px solid var(--border-color-primary); border-left: 5px solid var(--tone);
  border-radius: 8px; background: var(--background-fill-secondary);
}
.osteo-card p { margin: .35rem 0; }
.osteo-card h2 { margin: 0; font-size: 2rem; line-height: 1.2; color: var(--tone); }
.osteo-kicker { font-size: .85rem; color: var(--body-text-color-subdued); }
.osteo-waiting { min-height: 12rem; display: grid; place-items: center; border-left-width: 1px; border-style: dashed;
  color: var(--body-text-color-subdued); }
.osteo-fractured { --tone: #c2410c; }
.osteo-normal { --tone: #0f766e; }
.osteo-problem { --tone: #b91c1c; overflow-wrap: anywhere; }
.dark .osteo-fractured { --tone: #fb923c; }
.dark .osteo-normal { --tone: #2dd4bf; }
.dark .osteo-problem { --tone: #f87171; }
.osteo-scale { position: relative; margin: 1rem 0 .5rem; padding-bottom: 1.6rem; }
.osteo-bar { height: 1rem; border-radius: .5rem; overflow: hidden; background: var(--border-color-primary); }
.osteo-bar i { display: block; height: 100%; background: var(--tone); }
.osteo-scale b { position: absolute; top: -.3rem; width: 3px; height: 1.6rem; margin-left: -1.5px;
  border-radius: 2px; background: var(--body-text-color); }
.osteo-scale span { position: absolute; top: 1.4rem; font-size: .8rem; color: var(--body-text-color-subdued); }
.osteo-scale span:nth-of-type(2) { left: clamp(3rem, var(--at), calc(100% - 3rem)); transform: translateX(-50%);
  color: var(--body-text-color); }
.osteo-scale span:last-child { right: 0; }
.osteo-facts { display: flex; flex-wrap: wrap; gap: .75rem 2.5rem; margin: .75rem 0; font-size: .9rem; }
.osteo-facts table { border-collapse: collapse; margin: 0; }
.osteo-facts caption { text-align: left; font-size: .8rem; color: var(--body-text-color-subdued); }
.osteo-facts th, .osteo-facts td { padding: .1rem 1rem .1rem 0; border: 0; text-align: left; font-weight: 400; }
.osteo-facts td { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.osteo-preview { margin: 0; text-align: center; }
.osteo-preview img { max-width: 100%; max-height: 60vh; margin: 0 auto; border-radius: 8px; background: black; }
.osteo-preview figcaption { margin-top: .3rem; font-size: .8rem; color: var(--body-text-color-subdued); }
"""
