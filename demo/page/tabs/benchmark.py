"""The "Benchmark" tab: the speed of the page's models on this machine."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context

from osteolite.edge.errors import OsteoliteError

from ...service import benchmark_job
from ...service.model_set import ModelSet
from .. import tables

REPORT_NAME = "osteolite-benchmark.html"
_COLUMNS = [
    ("Variant", "name"),
    ("Valid", ""),
    ("Threads", "number"),
    ("Delegate", ""),
    ("p50, ms", "number"),
    ("95 % interval", "number"),
    ("p90, ms", "number"),
    ("Cold start, ms", "number"),
    ("File, MB", "number"),
    ("Peak memory, MB", "number"),
]
_CONDITIONS = {
    "machine": "Machine",
    "cores": "Cores",
    "architecture": "Architecture",
    "system": "System",
    "python": "Python",
    "ai-edge-litert": "LiteRT",
    "tflite-runtime": "TFLite runtime",
    "load_average": "Load before",
}

Shown = tuple[str, str, Any, Any, Any]  # updates of the progress, the results and the three buttons


def build(models: ModelSet, can_measure: bool) -> None:
    """Build the tab inside the current Gradio context.

    Args:
        models: the models to measure.
        can_measure: whether visitors may measure on this machine.
    """
    files = [models.path(name) for name in models.names]
    gr.Markdown(
        "The speed of this page's models on the machine that serves it, measured by `osteolite bench`: "
        "each file is launched several times, each time in a new process."
    )
    with gr.Row():
        start = gr.Button("Measure on this machine", variant="primary", visible=can_measure)
        stop = gr.Button("Cancel", interactive=False, visible=can_measure)
        report = gr.Button("Show the full report", visible=False)
    progress = gr.HTML(css_template=tables.TABLE_CSS)
    results = gr.HTML(css_template=tables.TABLE_CSS, js_on_load=tables.SORT_JS)
    page = gr.HTML(css_template=tables.TABLE_CSS)
    measure, show, show_report, cancel = handlers(files, can_measure)
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    outputs = [progress, results, start, stop, report]
    measuring = start.click(measure, None, outputs, concurrency_limit=None, **private)
    stop.click(cancel, None, outputs, cancels=[measuring], **private)
    report.click(show_report, None, page, **private)
    Context.root_block.load(show, None, outputs, **private)


def handlers(
    files: list[Path], can_measure: bool, run: Callable[..., Iterator[benchmark_job.Progress]] = benchmark_job.measure
) -> tuple[Callable[..., Any], ...]:
    """The event handlers: start a measurement, show the results when the page opens, show the report, cancel.

    Args:
        files: the model files.
        can_measure: whether visitors may measure on this machine.
        run: measures the files and yields its progress.
    """

    def measure() -> Iterator[Shown]:
        yield tables.progress(0, 1, "starting"), gr.skip(), *_buttons(True)
        try:
            for progress in run(files):
                yield _progress(progress), gr.skip(), gr.skip(), gr.skip(), gr.skip()
        except OsteoliteError as error:
            yield tables.problem(str(error)), gr.skip(), *_buttons(False)[:2], gr.skip()
            return
        yield show()

    def show() -> Shown:
        found = benchmark_job.saved_results(files)
        text = results(found) if found else f'<p class="osteo-aside">{escape(_no_results(can_measure))}</p>'
        running = (
            '<p class="osteo-aside">A measurement is running on this machine.</p>'
            if benchmark_job.is_measuring()
            else ""
        )
        return running, text, *_buttons(False)[:2], gr.update(visible=found is not None)

    def show_report() -> str:
        report = benchmark_job.saved_report(files)
        return _report(report) if report else tables.problem("the report no longer exists; measure again")

    def cancel() -> Shown:
        return tables.problem("cancelled"), gr.skip(), *_buttons(False)[:2], gr.skip()

    return measure, show, show_report, cancel


def _no_results(can_measure: bool) -> str:
    if can_measure:
        return "These models have not been measured on this machine yet. It takes about a minute."
    return "These models have not been measured on this machine. `osteolite demo` without --share can measure them."


def _buttons(measuring: bool) -> tuple[Any, Any, Any]:
    return gr.update(interactive=not measuring), gr.update(interactive=measuring), gr.skip()


def _progress(progress: benchmark_job.Progress) -> str:
    text = f"launch {progress.launch} of {progress.launches}" if progress.launch else "starting"
    return tables.progress(max(0, progress.launch - 1), progress.launches, f"{text}, {progress.seconds:.0f} s")


def results(found: dict[str, Any]) -> str:
    """The results of a measurement as HTML.

    Args:
        found: the content of benchmark.json as `osteolite bench` wrote it.
    """
    valid = sum(result["valid"] for result in found["results"])
    conditions = found["conditions"]
    listed = "; ".join(
        f"{text} {_plain(conditions[name])}" for name, text in _CONDITIONS.items() if conditions.get(name)
    )
    started = datetime.fromisoformat(conditions["started"]).astimezone(UTC)
    return (
        f'<p class="osteo-summary" role="status">Measured on {started:%Y-%m-%d at %H:%M} UTC: '
        f"{valid} of {len(found['results'])} results are valid</p>"
        + tables.table("Speed by model", _COLUMNS, map(_cells, found["results"]), sorts=True)
        + _invalid(found)
        + f'<p class="osteo-aside">{escape(listed)}</p>'
    )


def _invalid(found: dict[str, Any]) -> str:
    """The invalid and missing results, each with its reasons."""
    reasons = [
        f"{result['variant'] or result['file']}, {_threads(result['threads'])}: {'; '.join(result['reasons'])}"
        for result in found["results"]
        if not result["valid"]
    ]
    reasons += [f"{name}, left out: {reason}" for name, reason in found["left_out"].items()]
    if not reasons:
        return ""
    listed = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return (
        '<p class="osteo-aside">Do not quote an invalid result: the machine was busy, for example with visitors of '
        "this page, or a minute was too short for so many files. "
        f'<code>osteolite bench FILE...</code> takes as long as needed.</p><ul class="osteo-aside">{listed}</ul>'
    )


def _cells(result: dict[str, Any]) -> list[str]:
    milliseconds = result["milliseconds"]
    invoke = milliseconds["invoke"] or {}
    interval = (invoke.get("intervals") or {}).get("p50")
    return [
        result["variant"] or result["file"],
        "yes" if result["valid"] else "no",
        str(result["threads"]),
        result["delegate"]["applied"],
        _decimal(invoke.get("p50"), 2),
        f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "",
        _decimal(invoke.get("p90"), 2),
        _decimal(milliseconds["cold_start"].get("process"), 0),
        _decimal(result["bytes"] / 1e6, 2),
        _decimal(result["peak_mb"], 1),
    ]


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"


def _decimal(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _report(page: str) -> str:
    """A download link for the report, and the report in a frame that cannot run scripts."""
    return tables.download("Download the report", REPORT_NAME, page.encode(), "text/html;charset=utf-8") + (
        f'<iframe class="osteo-report" title="The full report" sandbox="" srcdoc="{escape(page)}"></iframe>'
    )
