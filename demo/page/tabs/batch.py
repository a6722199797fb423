"""The "Several images" tab: files and zip archives in, a table and a CSV file out."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import gradio as gr

from osteolite.edge.errors import InputError

from ...service.batch import (
    MAX_BYTES,
    MAX_IMAGES,
    Row,
    Upload,
    count_images,
    display_name,
    score_images,
    summary,
    to_csv,
)
from ...service.model_set import LIMITS, ModelSet
from .. import tables

CSV_NAME = "osteolite-results.csv"
MAX_CONCURRENT = 4  # visitors whose images are scored in turns; others wait
_COLUMNS = [
    ("No.", "number"),
    ("File", "name"),
    ("Label", ""),
    ("Probability", "number"),
    ("Threshold", "number"),
    ("Body part", ""),
    ("ms", "number"),
    ("Warnings and errors", "text"),
]
_OPTIONAL = {"Body part", "Warnings and errors"}  # columns shown only when a row fills them

Shown = tuple[str, Any, Any]  # updates of the results and of the two buttons


def build(models: ModelSet) -> None:
    """Build the tab inside the current Gradio context.

    Args:
        models: the models to choose from. With a single model the tab shows no choice.
    """
    gr.Markdown(
        f"Up to {MAX_IMAGES} images as files, zip archives or both: at most {LIMITS.max_bytes // 1024**2} MiB each and "
        f"{MAX_BYTES // 1024**2} MiB in all."
    )
    upload = gr.File(
        label="Radiographs or zip archives", file_count="multiple", height=170, elem_classes="osteo-uploads"
    )
    # Gradio's own preprocessing leaves an empty file behind for each upload and loses the original file name.
    upload.preprocess = _uploads
    several = len(models.names) > 1
    model = gr.Dropdown(models.names, value=models.names[0], label="Model", visible=several)
    with gr.Row():
        start = gr.Button("Score the images", variant="primary")
        stop = gr.Button("Cancel", interactive=False)
    results = gr.HTML(css_template=tables.TABLE_CSS, js_on_load=tables.SORT_JS)
    score, cancel = _handlers(models)
    start.click(
        score,
        [upload, model],
        [results, start, stop],
        api_visibility="private",
        concurrency_limit=MAX_CONCURRENT,
        show_progress="hidden",
    )
    stop.click(cancel, api_visibility="private")


def _uploads(payload: Any) -> list[Upload]:
    return [Upload(file.orig_name or file.path, Path(file.path)) for file in payload or []]


def _handlers(models: ModelSet) -> tuple[Callable[..., Iterator[Shown]], Callable[..., None]]:
    """The click handlers of the two buttons: score and cancel."""
    running: dict[str | None, threading.Event] = {}  # by session

    def score(uploads: list[Upload], model: str, request: gr.Request) -> Iterator[Shown]:
        stopped = running[request.session_hash] = threading.Event()
        try:
            yield from score_steps(uploads, partial(models.score, name=model), stopped)
        finally:
            running.pop(request.session_hash, None)

    def cancel(request: gr.Request) -> None:
        if stopped := running.get(request.session_hash):
            stopped.set()

    return score, cancel


def score_steps(
    uploads: list[Upload],
    score: Callable[[bytes], Any],
    stopped: threading.Event,
    max_images: int = MAX_IMAGES,
) -> Iterator[Shown]:
    """Score the uploads, one image in each step.

    Args:
        uploads: images and zip archives of images.
        score: gives the prediction for the bytes of an image file.
        stopped: set to stop after the current image.
        max_images: maximum number of images.

    Yields:
        The progress after each image, and at the end the results or one error message.
    """
    try:
        number = _prepare(uploads, max_images)
    except InputError as error:
        yield tables.problem(str(error)), *_buttons(False)
        return
    rows: list[Row] = []
    yield tables.progress(0, number, f"0 of {number}"), *_buttons(True)
    # One image in each step, so that the queue can score other visitors' images between two steps.
    for row in score_images(uploads, score):
        rows.append(row)
        if stopped.is_set():
            break
        yield tables.progress(len(rows), number, f"{len(rows)} of {number}: {row.file}"), gr.skip(), gr.skip()
    yield _results(rows, number), *_buttons(False)


def _prepare(uploads: list[Upload], max_images: int) -> int:
    if not uploads:
        raise InputError("no images; choose files first")
    for upload in uploads:
        with suppress(OSError):  # the file is already deleted, which its row will report
            os.utime(upload.path)  # restarts the time until the file is deleted
    return count_images(uploads, max_images)


def _buttons(running: bool) -> tuple[Any, Any]:
    return gr.update(interactive=not running), gr.update(interactive=running)


def _results(rows: list[Row], number: int) -> str:
    """The summary, the table and the CSV download."""
    cancelled = f" Cancelled after {len(rows)} of {number}." if len(rows) < number else ""
    cells = [_cells(place, row) for place, row in enumerate(rows, 1)]
    filled = [
        any(column) or name not in _OPTIONAL
        for (name, _), column in zip(_COLUMNS, zip(*cells, strict=True), strict=True)
    ]
    csv = to_csv(rows).encode("utf-8-sig")  # spreadsheets detect UTF-8 by the byte order mark
    return (
        f'<p class="osteo-summary" role="status">{summary(rows)}.{cancelled}</p>'
        + tables.table(
            "Results by image",
            list(compress(_COLUMNS, filled)),
            (list(compress(row, filled)) for row in cells),
            sorts=True,
        )
        + tables.download("Download as CSV", CSV_NAME, csv, "text/csv;charset=utf-8")
    )


def _cells(number: int, row: Row) -> list[str]:
    def decimal(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    return [
        str(number),
        row.file,
        row.label or "not scored",
        decimal(row.fracture_probability, 3),
        decimal(row.threshold, 3),
        row.body_part,
        decimal(row.milliseconds, 1),
        row.warnings or display_name(row.error),
    ]
