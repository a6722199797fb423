"""One image: its answer, its heatmap, and what other thresholds and other models make of it."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from osteolite.edge.errors import OsteoliteError
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.preprocess import PreprocessingSpec

from ...service.model_set import LIMITS, ModelSet
from ...service.uploads import KEPT_SECONDS, Uploads
from .. import answer_card
from ..overlay import figure, radiograph_uri
from ..side_by_side import side_by_side

_PREVIEW_SIDE = 960  # pixels
_THUMBNAIL_SIDE = 120  # pixels
# Half the side, as a reduced JPEG keeps at least one and a half times the size asked for.
_SMALL = PreprocessingSpec(_THUMBNAIL_SIDE // 2, _THUMBNAIL_SIDE // 2)
_MOST_EXAMPLES = 12
_SCRIPT = (Path(__file__).parents[1] / "page.js").read_text(encoding="utf-8")
_CHOOSE = """element.addEventListener("click", ({ target }) => {
  const chosen = target.closest("button");
  if (chosen) trigger("click", { example: Number(chosen.dataset.example) });
});"""
# On a phone the answer is below what it was asked with.
_TO_ANSWER = """() => document.querySelector("#osteo-result").scrollIntoView({
  block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" })"""
_GONE = (
    f"no radiograph is held here; drop one or choose an example (an upload is kept for {KEPT_SECONDS // 60} minutes "
    "at most, and less while many people use the page)"
)


def build(scorer: ModelSet, examples: list[Path], uploads: Uploads) -> tuple[gr.File, gr.Dropdown]:
    """Build the tab in the current context.

    Args:
        scorer: the models to choose from; with one of them there is nothing to choose.
        examples: radiographs to choose from, of which some are shown.
        uploads: where the last image of each session is kept, if another model may be tried on it.

    Returns:
        The file and the name of the model, as inputs of the API.
    """
    several, shown = len(scorer.names) > 1, _readable(examples)
    with gr.Row(elem_classes="osteo-ask"):
        with gr.Column():
            # "binary" hands over the bytes as uploaded; gr.Image would decode and re-encode them, and its
            # "filepath" mode of gr.File leaves a file behind at each call. No file_types: content decides.
            upload = gr.File(label="Radiograph", type="binary", height=140)
            gr.HTML(answer_card.accepted(LIMITS.max_bytes, KEPT_SECONDS))
        with gr.Column(visible=several or bool(shown)):
            strip = gr.HTML(_strip(shown), js_on_load=_CHOOSE, visible=bool(shown))
            model = gr.Dropdown(scorer.names, value=scorer.names[0], label="Model", visible=several)
    result = gr.HTML(answer_card.waiting(), js_on_load=_SCRIPT, elem_id="osteo-result")
    compare = gr.Button("Compare all models", visible=several)
    compared = gr.HTML()

    show, show_example = _ask(scorer, [path for path, _ in shown], uploads)
    show_again, show_all = _ask_again(scorer, uploads)
    private: dict[str, Any] = {"api_visibility": "private", "show_progress_on": result}
    gr.on([upload.upload], show, [upload, model], [upload, result, compared], **private).then(None, js=_TO_ANSWER)
    gr.on([strip.click], show_example, model, [result, compared], **private).then(None, js=_TO_ANSWER)
    gr.on([model.input], show_again, model, result, **private)
    gr.on([compare.click], show_all, None, compared, api_visibility="private")
    return upload, model


def _readable(examples: list[Path]) -> list[tuple[Path, str]]:
    """Examples with their thumbnails as data URIs, without those that cannot be read."""
    found: list[tuple[Path, str]] = []
    for path in examples[:_MOST_EXAMPLES]:
        try:
            thumbnail = read_radiograph(path, _SMALL, LIMITS)
        except (OsteoliteError, OSError):
            continue
        thumbnail.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
        found.append((path, radiograph_uri(thumbnail)))
    return found


def _strip(examples: list[tuple[Path, str]]) -> str:
    buttons = "".join(
        f'<li><button type="button" data-example="{number}"><img src="{thumbnail}" alt="">'
        f"<span>{escape(path.stem)}</span></button></li>"
        for number, (path, thumbnail) in enumerate(examples)
    )
    return f'<div class="osteo-examples"><p class="osteo-kicker">Or choose an example</p><ul>{buttons}</ul></div>'


def _ask(scorer: ModelSet, examples: list[Path], uploads: Uploads) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What happens on an upload, and on the choice of an example."""

    def answered(image: bytes, model: str, session: str) -> str:
        uploads.forget(session)
        try:
            found = _result(scorer, image, model)
        except OsteoliteError as error:
            return answer_card.problem(str(error))
        if len(scorer.names) > 1:
            uploads.keep(session, image)
        return found

    def show(image: bytes, model: str, request: gr.Request) -> tuple[None, str, str]:
        # The drop zone is emptied for the next image: it would point at a file that is soon deleted.
        return None, answered(image, model, _session(request)), ""

    def show_example(event: gr.EventData, model: str, request: gr.Request) -> tuple[str, str]:
        chosen = event._data.get("example") if isinstance(event._data, dict) else None
        if not isinstance(chosen, int) or not 0 <= chosen < len(examples):
            return answer_card.problem("no such example; reload the page"), ""
        try:
            image = examples[chosen].read_bytes()
        except OSError:
            return answer_card.problem("the example is no longer there; choose another one"), ""
        return answered(image, model, _session(request)), ""

    return show, show_example


def _ask_again(scorer: ModelSet, uploads: Uploads) -> tuple[Callable[..., str], Callable[..., str]]:
    """What happens on the choice of another model, and on the wish to compare all of them."""

    def show_again(model: str, request: gr.Request) -> str:
        image = uploads.get(_session(request))
        if image is None:  # nothing uploaded yet, or too long ago
            return answer_card.waiting()
        try:
            return _result(scorer, image, model)
        except OsteoliteError as error:
            return answer_card.problem(str(error))

    def compare(request: gr.Request, progress: gr.Progress = gr.Progress()) -> str:
        image = uploads.get(_session(request))
        if image is None:
            return answer_card.problem(_GONE, "Not compared")

        def tell(done: int, name: str) -> None:
            progress((done, len(scorer.names)), desc=name, unit="models")

        try:
            return side_by_side(scorer, image, tell)
        except OsteoliteError as error:
            return answer_card.problem(str(error), "Not compared")

    return show_again, compare


def _result(scorer: ModelSet, image: bytes, model: str) -> str:
    prediction, radiograph = scorer.predict_with_image(image, model)
    radiograph.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
    answering = scorer.answering(model, prediction)
    return (
        f'<div class="osteo-result">{answer_card.answer(prediction)}'
        f"{figure(prediction, answering.preprocessing, radiograph)}"
        f"{answer_card.details(prediction, model, scorer.variant(model), answering)}</div>"
    )


def _session(request: gr.Request) -> str:
    """What tells people apart: a random name that each open page gives itself."""
    return str(request.session_hash)
