"""The tab with the speed of the page's models on this machine."""

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

Shown = tuple[str, str, Any, Any, Any]  # progress, results, and the three buttons


def build(scorer: ModelSet, live: bool) -> None:
    """Make the tab's components and events inside the current context.

    Args:
        scorer: the models to measure, all of them.
        live: whether visitors may measure on this machine.
    """
    files = [scorer.path(name) for name in scorer.names]
    gr.Markdown(
        "How long the models of this page take on the machine that serves it, by `osteolite bench`: "
        "each file is launched several times, in processes of its own."
    )
    with gr.Row():
        start = gr.Button("Measure on this machine", variant="primary", visible=live)
        stop = gr.Button("Cancel", interactive=False, visible=live)
        report = gr.Button("Show the full report", visible=False)
    progress = gr.HTML(css_template=tables.TABLE_CSS)
    results = gr.HTML(css_template=tables.TABLE_CSS, js_on_load=tables.SORT_JS)
    page = gr.HTML(css_template=tables.TABLE_CSS)
    measure, show, show_report, end = _handlers(files, live)
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    outputs = [progress, results, start, stop, report]
    measuring = start.click(measure, None, outputs, concurrency_limit=None, **private)
    stop.click(end, None, outputs, cancels=[measuring], **private)
    report.click(show_report, None, page, **private)
    Context.root_block.load(show, None, outputs, **private)


def _handlers(files: list[Path], may_measure: bool) -> tuple[Callable[..., Any], ...]:
    """What happens on a press of the first button, when the page is opened, on the third, and on the second."""

    def measure() -> Iterator[Shown]:
        yield tables.progress(0, 1, "starting"), gr.skip(), *_buttons(True)
        try:
            for found in benchmark_job.measure(files):
                yield _progress(found), gr.skip(), gr.skip(), gr.skip(), gr.skip()
        except OsteoliteError as error:
            yield tables.problem(str(error)), gr.skip(), *_buttons(False)[:2], gr.skip()
            return
        yield show()

    def show() -> Shown:
        found = benchmark_job.kept_results(files)
        text = _results(found) if found else f'<p class="osteo-aside">{escape(_nothing(may_measure))}</p>'
        others = (
            '<p class="osteo-aside">A measurement is under way on this machine.</p>'
            if benchmark_job.is_measuring()
            else ""
        )
        return others, text, *_buttons(False)[:2], gr.update(visible=found is not None)

    def show_report() -> str:
        found = benchmark_job.kept_report(files)
        return _report(found) if found else tables.problem("there is no report any more; measure again")

    def end() -> Shown:
        return tables.problem("cancelled"), gr.skip(), *_buttons(False)[:2], gr.skip()

    return measure, show, show_report, end


def _nothing(may_measure: bool) -> str:
    if may_measure:
        return "These models have not been measured on this machine yet. It takes about a minute."
    return "These models have not been measured on this machine; on it, `osteolite demo` without --share can do that."


def _buttons(measuring: bool) -> tuple[Any, Any, Any]:
    return gr.update(interactive=not measuring), gr.update(interactive=measuring), gr.skip()


def _progress(found: benchmark_job.Progress) -> str:
    text = f"launch {found.launch} of {found.of}" if found.launch else "starting"
    return tables.progress(max(0, found.launch - 1), found.of, f"{text}, {found.seconds:.0f} s")


def _results(found: dict[str, Any]) -> str:
    """The figures of a measurement; what `osteolite bench` wrote is documented in its own module."""
    valid = sum(one["valid"] for one in found["results"])
    conditions = found["conditions"]
    said = "; ".join(f"{text} {_plain(conditions[name])}" for name, text in _CONDITIONS.items() if conditions.get(name))
    started = datetime.fromisoformat(conditions["started"]).astimezone(UTC)
    return (
        f'<p class="osteo-summary" role="status">Measured on {started:%Y-%m-%d at %H:%M} UTC: '
        f"{valid} of {len(found['results'])} results are valid</p>"
        + tables.table("Speed by model", _COLUMNS, map(_cells, found["results"]), sorts=True)
        + _why_not(found)
        + f'<p class="osteo-aside">{escape(said)}</p>'
    )


def _why_not(found: dict[str, Any]) -> str:
    """What is not valid or was left out, and for what reasons."""
    reasons = [
        f"{one['variant'] or one['file']}, {_threads(one['threads'])}: {'; '.join(one['reasons'])}"
        for one in found["results"]
        if not one["valid"]
    ]
    reasons += [f"{name}, left out: {reason}" for name, reason in found["left_out"].items()]
    if not reasons:
        return ""
    listed = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return (
        '<p class="osteo-aside">A result that is not valid must not be quoted: the machine was busy, as with people '
        "who use this page meanwhile, or a minute was too short for so many files. "
        f'<code>osteolite bench FILE...</code> takes the time it needs.</p><ul class="osteo-aside">{listed}</ul>'
    )


def _cells(one: dict[str, Any]) -> list[str]:
    spent = one["milliseconds"]
    invoke = spent["invoke"] or {}
    interval = (invoke.get("intervals") or {}).get("p50")
    return [
        one["variant"] or one["file"],
        "yes" if one["valid"] else "no",
        str(one["threads"]),
        one["delegate"]["applied"],
        _figure(invoke.get("p50"), 2),
        f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "",
        _figure(invoke.get("p90"), 2),
        _figure(spent["cold_start"].get("process"), 0),
        _figure(one["bytes"] / 1e6, 2),
        _figure(one["peak_mb"], 1),
    ]


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"


def _figure(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _report(page: str) -> str:
    """The report in a frame that may run nothing, and to download."""
    return tables.download("Download the report", REPORT_NAME, page.encode(), "text/html;charset=utf-8") + (
        f'<iframe class="osteo-report" title="The full report" sandbox="" srcdoc="{escape(page)}"></iframe>'
    )
