"""The Gradio page and its one API endpoint, `/predict`."""

from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr
from gradio import processing_utils

from osteolite.edge.errors import OsteoliteError

from . import card
from .scorer import LIMITS, Scorer

UPLOAD_SECONDS = 120  # after which an uploaded file is deleted
KEPT_SECONDS = 600  # for which a person may try another model on the same upload
QUEUE = 16  # waiting requests; more are refused

Shown = tuple[None, bytes | None, str, str]  # the emptied drop zone, what is kept, preview, card


def build_page(scorer: Scorer) -> gr.Blocks:
    """The page on these models, not yet served; API clients call `/predict`.

    Args:
        scorer: the models to choose from; with one of them there is nothing to choose.
    """
    _fetch_nothing()
    page = gr.Blocks(title="Osteolite", analytics_enabled=False, delete_cache=(30, UPLOAD_SECONDS))
    with page:
        gr.HTML(card.header(LIMITS.max_bytes))
        with gr.Row():
            with gr.Column():
                # "binary" hands over the bytes as uploaded; gr.Image would decode and re-encode them, and its
                # "filepath" mode of gr.File leaves a file behind at each call. No file_types: content decides.
                upload = gr.File(label="Radiograph", type="binary", height=150)
                several = len(scorer.names) > 1
                model = gr.Dropdown(scorer.names, value=scorer.names[0], label="Model", visible=several)
                preview = gr.HTML()
            with gr.Column():
                answer = gr.HTML(card.waiting())
        kept = gr.State(None, time_to_live=KEPT_SECONDS)
        show, show_again = _handlers(scorer)
        private: dict[str, Any] = {"api_visibility": "private", "show_progress_on": answer}
        upload.upload(show, [upload, model], [upload, kept, preview, answer], **private)
        model.change(show_again, [kept, model], [preview, answer], **private)
        gr.on([], _api(scorer), [upload, model], gr.JSON(label="prediction", visible=False), api_name="predict")
    page.queue(max_size=QUEUE, api_open=False)
    return page


def _fetch_nothing() -> None:
    """Gradio takes an address in place of an upload and downloads it, whatever its size, for anyone who asks."""

    async def refuse(url: str, cache_dir: str) -> str:
        raise gr.Error("this page fetches no addresses; upload the file itself", print_exception=False)

    processing_utils.async_ssrf_protected_download = refuse


def _handlers(scorer: Scorer) -> tuple[Callable[..., Shown], Callable[..., tuple[Any, str]]]:
    """What happens on an upload, and on another choice of model."""
    several = len(scorer.names) > 1

    def show(image: bytes, model: str) -> Shown:
        try:
            prediction = scorer.score(image, model)
            seen = card.preview(scorer.preview(image))
        except OsteoliteError as error:
            return None, None, "", card.problem(str(error))
        # The drop zone is emptied for the next image: it would point at a file that is soon deleted.
        return None, image if several else None, seen, card.answer(prediction, scorer.variant(model))

    def show_again(image: bytes | None, model: str) -> tuple[Any, str]:
        if image is None:  # nothing uploaded yet, or too long ago
            return "", card.waiting()
        try:
            return gr.skip(), card.answer(scorer.score(image, model), scorer.variant(model))
        except OsteoliteError as error:
            return "", card.problem(str(error))

    return show, show_again


def _api(scorer: Scorer) -> Callable[[bytes | None, str], dict[str, Any]]:
    def predict(image: bytes | None, model: str) -> dict[str, Any]:
        """Score one radiograph: label, calibrated fracture probability, threshold, model, milliseconds by step."""
        if image is None:
            raise gr.Error("no image; send a file as `image`", print_exception=False)
        try:
            return scorer.score(image, model).to_dict()
        except OsteoliteError as error:
            # Gradio's pages render this message as HTML.
            raise gr.Error(escape(str(error), quote=False), print_exception=False) from error

    return predict
