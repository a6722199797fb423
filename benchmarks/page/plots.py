"""Plots of one benchmark. Results that are not valid are drawn hollow."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .drawing import (
    COLOURS,
    GREY,
    MARKERS,
    Drawn,
    draw,
    legend,
    logarithmic,
    named_rows,
    plain,
    spread_out,
)
from .labelling import label_points

Result = dict[str, Any]  # an entry of "results", see `analysis.summary`
Group = tuple[str, list[Result]]  # a name, and its results at each number of threads

ROW = 0.24  # height of a row, inches

_OUTLIER = 3.0  # distance below the best score, in multiples of the median's distance
_MOST_NAMED = 24  # labels in one plot; with more, only those on the front
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)  # of a distribution


@dataclass(frozen=True)
class Shown:
    """One benchmark on the page."""

    title: str
    found: dict[str, Any]
    names: list[str]  # one per result

    @property
    def timed(self) -> list[tuple[str, Result]]:
        """The results that have a time, with their names."""
        return [(name, one) for name, one in zip(self.names, self.found["results"], strict=True) if p50(one) > 0]

    @property
    def threads(self) -> list[int]:
        return sorted({one["threads"] for one in self.found["results"]})


def p50(result: Result) -> float:
    """The median time of an invocation in milliseconds; 0 if unknown."""
    return (result["milliseconds"]["invoke"] or {}).get("p50") or 0.0


def fastest(results: Iterable[Result]) -> Result:
    """The fastest valid result, or the fastest if none is valid."""
    return min(results, key=lambda result: (not result["valid"], p50(result)))


def by_name(results: Iterable[tuple[str, Result]]) -> list[Group]:
    """Group results by name, in order; within a group, sort them by the number of threads."""
    groups: dict[str, list[Result]] = {}
    for name, one in results:
        groups.setdefault(name, []).append(one)
    return [(name, sorted(group, key=lambda result: int(result["threads"]))) for name, group in groups.items()]


def trade_off(shown: Shown) -> Drawn | None:
    """AUROC or accuracy against latency, with the Pareto front of the valid results."""
    score = next((name for name in ("auroc", "accuracy") if any(one[name] is not None for _, one in shown.timed)), None)
    if score is None:
        return None
    results = [(name, one) for name, one in shown.timed if one[score] is not None]
    groups = by_name(results)
    front = _front([one for _, one in results if one["valid"]], score)
    low = _lowest([one[score] for _, one in results])

    def place(one: Result) -> tuple[float, float]:
        return p50(one), max(one[score], low)

    lines = [list(map(place, group)) for _, group in groups]
    stairs = _stairs(list(map(place, front)))
    named = [
        (line, plain(name) + (f" ({group[0][score]:.3f} ↓)" if group[0][score] < low else ""))
        for line, (name, group) in zip(lines, groups, strict=True)
        if len(groups) <= _MOST_NAMED or any(one is other for one in group for other in front)
    ]

    def paint(axes: Axes) -> None:
        _scales(axes, [point for line in lines for point in line])
        axes.set_ylabel("AUROC" if score == "auroc" else score)
        for line in lines:
            axes.plot(*zip(*line, strict=True), color="#ccc", zorder=1)
        for _, one in results:
            axes.plot(*place(one), **mark(one, shown.threads.index(one["threads"])))
        axes.plot([x for x, _ in stairs], [y for _, y in stairs], color="#000", zorder=1.8)
        legend(axes, [*_legend(shown, results), Line2D([], [], color="#000", label="Pareto front")])
        label_points(axes, named, [*lines, stairs])

    best = dict.fromkeys(name for one in front for name, other in results if other is one)
    alt = f"{score} against latency on {shown.title}. On the Pareto front: {', '.join(best) or 'nothing'}."
    return draw(shown.title, alt, 4.6 + 0.1 * max(0, len(groups) - 12), paint)


def _front(results: Sequence[Result], score: str) -> list[Result]:
    """The results that no other one beats in both latency and score, the fastest first."""
    found: list[Result] = []
    for one in sorted(results, key=lambda result: (p50(result), -result[score])):
        if not found or one[score] > found[-1][score]:
            found.append(one)
    return found


def _stairs(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The border of the region that the front dominates."""
    corners = [(after[0], before[1]) for before, after in pairwise(points)]
    return [point for pair in zip(points, [*corners, points[-1]], strict=True) for point in pair] if points else []


def _lowest(scores: list[float]) -> float:
    """The lower end of the scale of scores. It cuts off outliers, which would squeeze all others together."""
    best, middle = max(scores), float(np.median(scores))
    return max(min(scores), best - _OUTLIER * max(best - middle, 0.005))


def _scales(axes: Axes, points: list[tuple[float, float]]) -> None:
    logarithmic(axes.xaxis, [x for x, _ in points], 0.22)  # leaves room for names on both sides
    low, high = min(y for _, y in points), max(y for _, y in points)
    room = max(high - low, 0.004)
    axes.set_ylim(low - 0.12 * room, high + 0.18 * room)
    axes.set_xlabel("p50 of an invocation, ms")


def latencies(shown: Shown) -> Drawn | None:
    """The distribution of latency of each result, with nested bars for its quantiles."""
    results = [(name, one) for name, one in shown.timed if one["milliseconds"]["invoke"].get("distribution")]
    if not results:
        return None
    groups = sorted(by_name(results), key=lambda group: p50(fastest(group[1])))
    most = max(len(group) for _, group in groups)
    points = {id(one): _quantiles(one) for _, one in results}

    def paint(axes: Axes) -> None:
        for place, (_, group) in enumerate(groups):
            for turn, one in enumerate(group):
                y = place + 0.8 * ((turn + 0.5) / len(group) - 0.5)
                colour = COLOURS[shown.threads.index(one["threads"]) % len(COLOURS)]
                _quantile_bar(axes, y, 0.62 / most, points[id(one)], colour, one["valid"])
        named_rows(axes, [name for name, _ in groups])
        logarithmic(axes.xaxis, [value for found in points.values() for value in found])
        axes.set_xlabel("an invocation, ms: 5 to 95 %, middle half, median", loc="right")
        patches = [
            Patch(color=COLOURS[index % len(COLOURS)], label=threads_text(count))
            for index, count in enumerate(shown.threads)
        ]
        valid = all(one["valid"] for _, one in results)
        legend(axes, patches if valid else [*patches, Patch(fill=False, hatch="//////", label="not valid")])

    alt = f"Distribution of latency on {shown.title}, the fastest first: {', '.join(name for name, _ in groups)}."
    return draw(shown.title, alt, 1.3 + max(ROW, 0.13 * most) * len(groups), paint)


def _quantiles(result: Result) -> Any:
    """Five quantiles of latency, kept above 0 for the logarithmic scale: a coarse clock may report 0."""
    found = np.quantile(result["milliseconds"]["invoke"]["distribution"], _QUANTILES)
    return np.maximum(found, p50(result) / 20)


def _quantile_bar(axes: Axes, y: float, height: float, found: Any, colour: str, valid: bool) -> None:
    thin: dict[str, Any] = {"color": colour, "alpha": 0.35} if valid else {"fill": False, "hatch": "//////"}
    axes.barh(y, found[4] - found[0], height, found[0], **{"linewidth": 0.7, "edgecolor": colour, **thin})
    axes.barh(y, found[3] - found[1], height, found[1], color=colour if valid else "#fff", edgecolor=colour)
    axes.plot([found[2]] * 2, [y - height / 2, y + height / 2], color="#fff" if valid else colour, linewidth=1.4)


def scaling(shown: Shown) -> Drawn | None:
    """Latency against the number of threads, with ideal scaling for comparison."""
    results = [(name, one) for name, one in shown.timed if one["threads"] > 0]
    groups = [(name, group) for name, group in by_name(results) if len({one["threads"] for one in group}) > 1]
    if not groups:
        return None
    counts = sorted({one["threads"] for _, group in groups for one in group})
    ideals = [p50(group[0]) * group[0]["threads"] / group[-1]["threads"] for _, group in groups]
    height = max(3.2, 0.19 * len(groups))

    def paint(axes: Axes) -> None:
        logarithmic(axes.yaxis, [p50(one) for _, group in groups for one in group] + ideals)
        logarithmic(axes.xaxis, counts)
        axes.set_xticks(counts, [str(count) for count in counts])
        for index, ((_, group), ideal) in enumerate(zip(groups, ideals, strict=True)):
            colour = COLOURS[index % len(COLOURS)]
            ends = [group[0]["threads"], group[-1]["threads"]]
            axes.plot(ends, [p50(group[0]), ideal], "--", color=GREY, alpha=0.5, linewidth=1, zorder=1)
            axes.plot([one["threads"] for one in group], [p50(one) for one in group], color=colour)
            for one in group:
                axes.plot(one["threads"], p50(one), **mark(one, index))
        _name_ends(axes, groups, 0.16 / height)
        axes.set_xlabel("CPU threads; dashed: ideal scaling")
        axes.set_ylabel("p50 of an invocation, ms")

    said = [f"{name} " + ", ".join(f"{p50(one):.2f} ms" for one in group) for name, group in groups]
    alt = f"Latency on {shown.title} with {', '.join(map(str, counts))} threads: {'; '.join(said)}."
    return draw(shown.title, alt, height + 1, paint)


def _name_ends(axes: Axes, groups: list[Group], gap: float) -> None:
    """Write names to the right of the lines, at least `gap` apart, as a share of the height."""
    low, high = np.log10(axes.get_ylim())
    ends = [(float(np.log10(p50(group[-1]))) - low) / (high - low) for _, group in groups]
    places = spread_out(ends, gap)
    floor = 0.0  # names that would be below the axes move up
    for index in sorted(range(len(places)), key=lambda index: places[index]):
        places[index] = max(places[index], floor)
        floor = places[index] + gap
    for index, (place, (name, group)) in enumerate(zip(places, groups, strict=True)):
        colour = COLOURS[index % len(COLOURS)]
        axes.annotate(
            plain(name, 26),
            (group[-1]["threads"], p50(group[-1])),
            (1.06, place),
            textcoords="axes fraction",
            color=colour,
            fontsize=9,
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "relpos": (0, 0.5), "shrinkB": 4},
        )


def threads_text(count: int) -> str:
    return f"{count} thread{'s' if count != 1 else ''}"


def mark(result: Result, index: int) -> dict[str, Any]:
    """The style of a result's point: colour and shape by an index, hollow if it is not valid."""
    colour = COLOURS[index % len(COLOURS)]
    face = colour if result["valid"] else "#fff"
    shape = MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]  # another shape when the colours repeat
    return {"color": colour, "marker": shape, "markerfacecolor": face, "linestyle": "none"}


def _legend(shown: Shown, results: Sequence[tuple[str, Result]]) -> list[Line2D]:
    """A legend entry for each number of threads, and one for results that are not valid, if there are any."""
    points = [
        Line2D([], [], label=threads_text(count), **mark({"valid": True}, index))
        for index, count in enumerate(shown.threads)
    ]
    if all(one["valid"] for _, one in results):
        return points
    return [*points, hollow()]


def hollow() -> Line2D:
    """The legend entry for results that are not valid."""
    return Line2D([], [], color="#000", marker="o", markerfacecolor="#fff", linestyle="none", label="not valid")
