"""The tab for several images: files and zip archives in, a table and a CSV file out."""

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
    score_images,
    shown,
    summary,
    to_csv,
)
from ...service.model_set import LIMITS, ModelSet
from .. import tables

CSV_NAME = "osteolite-results.csv"
AT_ONCE = 4  # visitors whose images are scored in turns; more wait
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
_WHERE_FILLED = {"Body part", "Warnings and errors"}  # columns that are left out where no row has anything in them

Shown = tuple[str, Any, Any]  # results, and the two buttons


def build(scorer: ModelSet) -> None:
    """Make the tab's components and events inside the current context.

    Args:
        scorer: the models to choose from; with one of them there is nothing to choose.
    """
    gr.Markdown(
        f"Up to {MAX_IMAGES} images, as files, zip archives or both: {LIMITS.max_bytes // 1024**2} MiB each, "
        f"{MAX_BYTES // 1024**2} MiB in all."
    )
    upload = gr.File(
        label="Radiographs or zip archives", file_count="multiple", height=170, elem_classes="osteo-uploads"
    )
    # Gradio's own way leaves an empty file behind for each upload, and forgets what its owner calls it.
    upload.preprocess = _uploads
    several = len(scorer.names) > 1
    model = gr.Dropdown(scorer.names, value=scorer.names[0], label="Model", visible=several)
    with gr.Row():
        start = gr.Button("Score the images", variant="primary")
        stop = gr.Button("Cancel", interactive=False)
    results = gr.HTML(css_template=tables.TABLE_CSS, js_on_load=tables.SORT_JS)
    score, cancel = _handlers(scorer)
    start.click(
        score,
        [upload, model],
        [results, start, stop],
        api_visibility="private",
        concurrency_limit=AT_ONCE,
        show_progress="hidden",
    )
    stop.click(cancel, api_visibility="private")


def _uploads(payload: Any) -> list[Upload]:
    return [Upload(file.orig_name or file.path, Path(file.path)) for file in payload or []]


def _handlers(scorer: ModelSet) -> tuple[Callable[..., Iterator[Shown]], Callable[..., None]]:
    """What happens on a press of either button."""
    running: dict[str | None, threading.Event] = {}  # by session

    def score(uploads: list[Upload], model: str, request: gr.Request) -> Iterator[Shown]:
        stopped = running[request.session_hash] = threading.Event()
        try:
            yield from _scored(uploads, partial(scorer.score, name=model), stopped)
        finally:
            running.pop(request.session_hash, None)

    def cancel(request: gr.Request) -> None:
        if stopped := running.get(request.session_hash):
            stopped.set()

    return score, cancel


def _scored(uploads: list[Upload], score: Callable[[bytes], Any], stopped: threading.Event) -> Iterator[Shown]:
    try:
        number = _ready(uploads)
    except InputError as error:
        yield tables.problem(str(error)), *_buttons(False)
        return
    rows: list[Row] = []
    yield tables.progress(0, number, f"0 of {number}"), *_buttons(True)
    # One image a step: between two of them the page's queue lets other people's images in.
    for row in score_images(uploads, score):
        rows.append(row)
        if stopped.is_set():
            break
        yield tables.progress(len(rows), number, f"{len(rows)} of {number}: {row.file}"), gr.skip(), gr.skip()
    yield _results(rows, number), *_buttons(False)


def _ready(uploads: list[Upload]) -> int:
    if not uploads:
        raise InputError("no images; choose files first")
    for upload in uploads:
        with suppress(OSError):  # it is gone already, which its row will say
            os.utime(upload.path)  # the time after which it is deleted begins anew
    return count_images(uploads)


def _buttons(running: bool) -> tuple[Any, Any]:
    return gr.update(interactive=not running), gr.update(interactive=running)


def _results(rows: list[Row], number: int) -> str:
    """The table of what was scored, with its summary and the file to download."""
    cancelled = f" Cancelled after {len(rows)} of {number}." if len(rows) < number else ""
    cells = [_cells(*one) for one in enumerate(rows, 1)]
    filled = [
        any(column) or name not in _WHERE_FILLED
        for (name, _), column in zip(_COLUMNS, zip(*cells, strict=True), strict=True)
    ]
    csv = to_csv(rows).encode("utf-8-sig")  # with the mark by which spreadsheets know it
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
    def figure(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    return [
        str(number),
        row.file,
        row.label or "not scored",
        figure(row.fracture_probability, 3),
        figure(row.threshold, 3),
        row.body_part,
        figure(row.milliseconds, 1),
        row.warnings or shown(row.error),
    ]
