"""The "One image" tab: prediction and heatmap of one image, other thresholds and other models."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from osteolite.edge.errors import OsteoliteError
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.preprocess import PreprocessingSpec

from ...service.model_set import LIMITS, ModelSet
from ...service.uploads import FILE_SECONDS, MEMORY_SECONDS, Uploads
from .. import answer_card
from ..overlay import figure, radiograph_uri
from ..side_by_side import side_by_side

_PREVIEW_SIDE = 960  # maximum side of the shown radiograph, pixels
_THUMBNAIL_SIDE = 120  # maximum side, pixels
# Half the side, because a JPEG is decoded at no less than 1.5 times the requested size.
_SMALL = PreprocessingSpec(_THUMBNAIL_SIDE // 2, _THUMBNAIL_SIDE // 2)
_MAX_EXAMPLES = 12
_SCRIPT = (Path(__file__).parents[1] / "page.js").read_text(encoding="utf-8")
_CHOOSE = """element.addEventListener("click", ({ target }) => {
  const chosen = target.closest("button");
  if (chosen) trigger("click", { example: Number(chosen.dataset.example) });
});"""
# On a phone the answer appears below the upload, out of sight.
_SCROLL_TO_ANSWER = """() => document.querySelector("#osteo-result").scrollIntoView({
  block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" })"""
_NO_UPLOAD = (
    f"there is no radiograph to compare; upload one or choose an example (an upload is kept for up to "
    f"{MEMORY_SECONDS // 60} minutes, less while many people use the page)"
)


def build(models: ModelSet, examples: list[Path], uploads: Uploads) -> tuple[gr.File, gr.Dropdown]:
    """Build the tab inside the current Gradio context.

    Args:
        models: the models to choose from. With a single model the tab shows no choice.
        examples: radiographs to choose from; the first 12 are used, without those that cannot be read.
        uploads: keeps the last image of each session when there are several models.

    Returns:
        The file and model components, which are also the inputs of the API.
    """
    several, shown = len(models.names) > 1, _readable(examples)
    with gr.Row(elem_classes="osteo-ask"):
        with gr.Column():
            # "binary" gives the bytes as uploaded. gr.Image would decode and re-encode them, and the "filepath"
            # mode of gr.File leaves a file behind at each call. No file_types: the content decides the format.
            upload = gr.File(label="Radiograph", type="binary", height=140)
            gr.HTML(answer_card.upload_rules(LIMITS.max_bytes, FILE_SECONDS))
        with gr.Column(visible=several or bool(shown)):
            strip = gr.HTML(_strip(shown), js_on_load=_CHOOSE, visible=bool(shown))
            model = gr.Dropdown(models.names, value=models.names[0], label="Model", visible=several)
    result = gr.HTML(answer_card.placeholder(), js_on_load=_SCRIPT, elem_id="osteo-result")
    compare = gr.Button("Compare all models", visible=several)
    compared = gr.HTML()

    show, show_example = _image_handlers(models, [path for path, _ in shown], uploads)
    show_again, show_all = _model_handlers(models, uploads)
    private: dict[str, Any] = {"api_visibility": "private", "show_progress_on": result}
    gr.on([upload.upload], show, [upload, model], [upload, result, compared], **private).then(
        None, js=_SCROLL_TO_ANSWER
    )
    gr.on([strip.click], show_example, model, [result, compared], **private).then(None, js=_SCROLL_TO_ANSWER)
    gr.on([model.input], show_again, model, result, **private)
    gr.on([compare.click], show_all, None, compared, api_visibility="private")
    return upload, model


def _readable(examples: list[Path]) -> list[tuple[Path, str]]:
    """The readable examples, each with its thumbnail as a data URI."""
    found: list[tuple[Path, str]] = []
    for path in examples[:_MAX_EXAMPLES]:
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


def _image_handlers(
    models: ModelSet, examples: list[Path], uploads: Uploads
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The handlers of an upload and of a chosen example."""

    def score(image: bytes, model: str, session: str) -> str:
        uploads.forget(session)
        try:
            result = _result(models, image, model)
        except OsteoliteError as error:
            return answer_card.problem(str(error))
        if len(models.names) > 1:
            uploads.keep(session, image)
        return result

    def show(image: bytes, model: str, request: gr.Request) -> tuple[None, str, str]:
        # Empty the upload field for the next image: its file is deleted soon.
        return None, score(image, model, _session(request)), ""

    def show_example(event: gr.EventData, model: str, request: gr.Request) -> tuple[str, str]:
        chosen = event._data.get("example") if isinstance(event._data, dict) else None
        if not isinstance(chosen, int) or not 0 <= chosen < len(examples):
            return answer_card.problem("no such example; reload the page"), ""
        try:
            image = examples[chosen].read_bytes()
        except OSError:
            return answer_card.problem("the example no longer exists; choose another one"), ""
        return score(image, model, _session(request)), ""

    return show, show_example


def _model_handlers(models: ModelSet, uploads: Uploads) -> tuple[Callable[..., str], Callable[..., str]]:
    """The handlers of a newly chosen model and of the comparison of all models."""

    def show_again(model: str, request: gr.Request) -> str:
        image = uploads.get(_session(request))
        if image is None:  # nothing was uploaded, or the upload has expired
            return answer_card.placeholder()
        try:
            return _result(models, image, model)
        except OsteoliteError as error:
            return answer_card.problem(str(error))

    def compare(request: gr.Request, progress: gr.Progress = gr.Progress()) -> str:
        image = uploads.get(_session(request))
        if image is None:
            return answer_card.problem(_NO_UPLOAD, "Not compared")

        def show_progress(done: int, name: str) -> None:
            progress((done, len(models.names)), desc=name, unit="models")

        try:
            return side_by_side(models, image, show_progress)
        except OsteoliteError as error:
            return answer_card.problem(str(error), "Not compared")

    return show_again, compare


def _result(models: ModelSet, image: bytes, model: str) -> str:
    prediction, radiograph = models.predict_with_image(image, model)
    radiograph.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
    description = models.fracture_description(model, prediction)
    return (
        f'<div class="osteo-result">{answer_card.answer(prediction)}'
        f"{figure(prediction, description.preprocessing, radiograph)}"
        f"{answer_card.details(prediction, model, models.variant(model), description)}</div>"
    )


def _session(request: gr.Request) -> str:
    """The random name that each open page gives itself, which tells visitors apart."""
    return str(request.session_hash)
