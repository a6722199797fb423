"""Plots that compare several benchmarks or engines: sizes, devices, and peers."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..harness.records import OSTEOLITE
from .drawing import COLOURS, GREY, Drawn, draw, legend, logarithmic, named_rows, plain
from .plots import ROW, Result, Shown, by_name, fastest, hollow, mark, p50, threads_text


def sizes(shown: Sequence[Shown]) -> Drawn | None:
    """The size of each file, once, even if several devices ran it."""
    files: dict[tuple[str, int], list[tuple[str, Result]]] = {}
    for run in shown:
        for name, one in zip(run.names, run.found["results"], strict=True):
            if one["bytes"] > 0:
                files.setdefault((one["file"], one["bytes"]), []).append((name, one))
    if not files:
        return None
    bars = sorted(((size, results) for (_, size), results in files.items()), key=lambda bar: bar[0])
    names = [min((name for name, _ in results), key=len) for _, results in bars]
    largest = bars[-1][0] / 1e6

    def paint(axes: Axes) -> None:
        for place, (size, results) in enumerate(bars):
            valid = any(one["valid"] for _, one in results)
            style: dict[str, Any] = {"color": COLOURS[0]} if valid else {"color": "#fff", "hatch": "/////"}
            axes.barh(place, size / 1e6, 0.7, **style, edgecolor=COLOURS[0])
            score = max((one["auroc"] for _, one in results if one["auroc"] is not None), default=None)
            text = f"{size / 1e6:.2f}" + ("" if score is None else f", AUROC {score:.3f}")
            axes.text(size / 1e6 + largest / 60, place, text, va="center", fontsize=9)
        named_rows(axes, names)
        axes.set_xlim(0, 1.7 * largest)
        axes.set_xlabel("MB; hatched: no valid result")

    said = (f"{name} {size / 1e6:.2f} MB" for name, (size, _) in zip(names, bars, strict=True))
    return draw("", f"Size of each file: {', '.join(said)}.", 1 + ROW * len(bars), paint)


def devices(shown: Sequence[Shown]) -> Drawn | None:
    """Latency of the models that several devices ran, each at its fastest number of threads."""
    best = [{name: fastest(group) for name, group in by_name(run.timed)} for run in shown]
    names = [
        name for name in dict.fromkeys(name for run in best for name in run) if sum(name in run for run in best) > 1
    ]
    if not names:
        return None
    names.sort(key=lambda name: min(p50(run[name]) for run in best if name in run))
    points = [(names.index(name), index, run[name]) for index, run in enumerate(best) for name in run if name in names]

    def paint(axes: Axes) -> None:
        for row, index, one in points:
            _whisker(axes, row, one["milliseconds"]["invoke"].get("intervals", {}).get("p50"), COLOURS[index % 7])
            axes.plot(p50(one), row, **mark(one, index))
        named_rows(axes, names)
        logarithmic(axes.xaxis, [p50(one) for _, _, one in points])
        axes.set_xlabel("p50 of an invocation, ms, at the fastest number of threads")
        ran = [(index, run.title) for index, run in enumerate(shown) if any(index == other for _, other, _ in points)]
        handles = [Line2D([], [], label=plain(title, 52), **mark({"valid": True}, index)) for index, title in ran]
        legend(axes, handles + ([] if all(one["valid"] for *_, one in points) else [hollow()]), columns=1)

    alt = f"Latency side by side of {', '.join(run.title for run in shown)}: {', '.join(names)}."
    return draw("", alt, 1.2 + ROW * (len(names) + len(shown)), paint)


def peers(shown: Shown) -> Drawn | None:
    """The time of the peers relative to Osteolite's engine."""
    results = [
        (name, one)
        for name, one in sorted(shown.timed, key=lambda result: -int(result[1]["threads"]))
        if one["engine"] != OSTEOLITE and one["relative"]
    ]
    if not results:
        return None
    ends = [one["relative"][end] for _, one in results for end in ("ratio", "low", "high")]
    values = [value for value in ends if value is not None and value > 0]

    def paint(axes: Axes) -> None:
        axes.axvline(1, color=GREY, linewidth=1)
        for row, (_, one) in enumerate(results):
            index = shown.threads.index(one["threads"])
            _whisker(axes, row, [one["relative"]["low"], one["relative"]["high"]], COLOURS[index % 7])
            axes.plot(one["relative"]["ratio"], row, **mark(one, index))
        named_rows(axes, [f"{plain(name, 24)}, {threads_text(one['threads'])}" for name, one in results], 40)
        logarithmic(axes.xaxis, [*values, 0.9, 1.1])
        axes.set_xlabel("time relative to Osteolite, with 95 % intervals")
        if not all(one["valid"] for _, one in results):
            legend(axes, [hollow()])

    said = (f"{name} with {threads_text(one['threads'])} {one['relative']['ratio']:.2f}" for name, one in results)
    alt = f"Peers on {shown.title}, time relative to {results[0][1]['relative']['to']}: {', '.join(said)}."
    return draw(shown.title, alt, 1 + ROW * len(results), paint)


def _whisker(axes: Axes, row: float, ends: list[float | None] | None, colour: str) -> None:
    known = [end for end in ends or () if end is not None]
    if len(known) == 2:
        axes.plot(known, [row, row], color=colour, linewidth=1.6, solid_capstyle="butt")
