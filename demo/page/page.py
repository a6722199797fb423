"""The Gradio page and its API endpoint `/predict`."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import processing_utils

from osteolite.edge.errors import OsteoliteError

from ..service.model_set import ModelSet
from ..service.uploads import FILE_SECONDS, Uploads
from . import answer_card
from .tabs import about, batch, benchmark, image

_SWEEP_SECONDS = 30  # interval between two searches for expired uploads
# Maximum waiting requests. Twenty people with three each fit; later requests are refused at once as "queue full".
QUEUE_SIZE = 64


def build_page(
    models: ModelSet, examples: list[Path], can_measure: bool, file_seconds: int = FILE_SECONDS
) -> gr.Blocks:
    """Build the page without serving it.

    Args:
        models: the models to choose from. With a single model the page shows no choice.
        examples: radiographs that a visitor can choose instead of an upload.
        can_measure: whether visitors may measure speed on this machine.
        file_seconds: seconds until an uploaded file is deleted, at least 2.
    """
    _disable_downloads()
    uploads = Uploads()
    sweep = min(_SWEEP_SECONDS, file_seconds // 2)
    page = gr.Blocks(title="Osteolite", analytics_enabled=False, delete_cache=(sweep, file_seconds - sweep))
    with page:
        gr.HTML(answer_card.header())
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("One image"):
                upload, model = image.build(models, examples, uploads)
                answer = gr.JSON(label="prediction", visible=False)
                gr.on([], _api(models), [upload, model], answer, api_name="predict")
            with gr.Tab("Several images"):
                batch.build(models)
            with gr.Tab("Benchmark"):
                benchmark.build(models, can_measure)
            with gr.Tab("About"):
                about.build(models)
        page.unload(_forget(uploads))
    page.queue(max_size=QUEUE_SIZE, api_open=False)
    return page


def _disable_downloads() -> None:
    """Make Gradio refuse a URL in place of an upload: it would download any URL for anyone, whatever the size."""

    async def refuse(url: str, cache_dir: str) -> str:
        raise gr.Error("this page downloads nothing; upload the file itself", print_exception=False)

    processing_utils.async_ssrf_protected_download = refuse


def _forget(uploads: Uploads) -> Callable[[gr.Request], None]:
    def forget(request: gr.Request) -> None:
        uploads.forget(str(request.session_hash))

    return forget


def _api(models: ModelSet) -> Callable[[bytes | None, str], dict[str, Any]]:
    def predict(image: bytes | None, model: str) -> dict[str, Any]:
        """Score one radiograph: label, calibrated fracture probability, threshold, model, milliseconds by step."""
        if image is None:
            raise gr.Error("no image; send a file as `image`", print_exception=False)
        try:
            return models.score(image, model).to_dict()
        except OsteoliteError as error:
            # Gradio's pages render this message as HTML.
            raise gr.Error(escape(str(error), quote=False), print_exception=False) from error

    return predict
