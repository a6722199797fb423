"""The Gradio page and its API, of which `/predict` is described here."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import processing_utils

from osteolite.edge.errors import OsteoliteError

from ..service.model_set import ModelSet
from ..service.uploads import Uploads
from . import answer_card
from .tabs import about, batch, benchmark, image

_SWEEP_SECONDS = 30  # between two looks for uploads that are over their time
UPLOAD_SECONDS = 600  # after which an uploaded file is gone: people choose many files before they press a button
# Waiting requests. Twenty people with three each fit; beyond that a person is told at once that the queue is full.
QUEUE = 64


def build_page(scorer: ModelSet, examples: list[Path], live: bool) -> gr.Blocks:
    """The page on these models, not yet served; API clients call `/predict`.

    Args:
        scorer: the models to choose from; with one of them there is nothing to choose.
        examples: radiographs that a person may choose in place of an upload of their own.
        live: whether a person may measure speed on this machine.
    """
    _fetch_nothing()
    uploads = Uploads()
    page = gr.Blocks(
        title="Osteolite", analytics_enabled=False, delete_cache=(_SWEEP_SECONDS, UPLOAD_SECONDS - _SWEEP_SECONDS)
    )
    with page:
        gr.HTML(answer_card.header())
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("One image"):
                upload, model = image.build(scorer, examples, uploads)
                answer = gr.JSON(label="prediction", visible=False)
                gr.on([], _api(scorer), [upload, model], answer, api_name="predict")
            with gr.Tab("Several images"):
                batch.build(scorer)
            with gr.Tab("Benchmark"):
                benchmark.build(scorer, live)
            with gr.Tab("About"):
                about.build(scorer)
        page.unload(_forget(uploads))
    page.queue(max_size=QUEUE, api_open=False)
    return page


def _fetch_nothing() -> None:
    """Gradio takes an address in place of an upload and downloads it, whatever its size, for anyone who asks."""

    async def refuse(url: str, cache_dir: str) -> str:
        raise gr.Error("this page fetches no addresses; upload the file itself", print_exception=False)

    processing_utils.async_ssrf_protected_download = refuse


def _forget(uploads: Uploads) -> Callable[[gr.Request], None]:
    def forget(request: gr.Request) -> None:
        uploads.forget(str(request.session_hash))

    return forget


def _api(scorer: ModelSet) -> Callable[[bytes | None, str], dict[str, Any]]:
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
