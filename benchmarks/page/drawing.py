"""Shared by all plots: drawing an SVG, scales with round numbers, and spacing of names."""

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ticker import MaxNLocator

# Safe for colour-blind people (Okabe and Ito), without yellow, which is hard to see on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
GREY = "#8a8a8a"
WIDTH = 5.4  # inches; narrow enough that text of 10 points is readable on a phone

_PIXELS = 104  # per inch on the page
_LONGEST = 30  # characters of a label
_ROUND = ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))  # steps of a logarithmic scale
_STYLE: Any = {
    "font.size": 10,
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "hatch.linewidth": 0.7,
    "svg.fonttype": "path",  # text looks the same everywhere, and names in a plot cannot contain markup
    "svg.hashsalt": "osteolite",  # the same plot gives the same bytes
    "text.parse_math": False,  # names may contain dollar signs
}


@dataclass(frozen=True)
class Drawn:
    """A plot for the page."""

    alt: str
    uri: str  # data URI of an SVG
    width: int  # pixels on the page


def draw(title: str, alt: str, height: float, paint: Callable[[Axes], None]) -> Drawn:
    """Draw a plot of `WIDTH` times `height` inches with one pair of axes."""
    with rc_context(_STYLE):
        figure = Figure((WIDTH, height), dpi=72, layout="constrained")  # as in SVG, so that a pixel is a point
        FigureCanvasAgg(figure)  # measures text for the layout
        axes = figure.subplots()
        if title:
            figure.suptitle(plain(title, 48), x=0.01, horizontalalignment="left")
        paint(axes)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    uri = "data:image/svg+xml;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
    return Drawn(alt, uri, round(WIDTH * _PIXELS))


@cache
def _letters() -> frozenset[int]:
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def plain(text: str, longest: int = _LONGEST) -> str:
    """Text for a plot: characters that the font lacks are replaced, and long text is cut in the middle.

    >>> plain("a name that has far too many letters", 20)
    'a name tha…y letters'
    """
    text = "".join(one if ord(one) in _letters() and one.isprintable() else "?" for one in text)
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[1 - longest + longest // 2 :]}"


def logarithmic(axis: Axis, values: Sequence[float], room: float = 0.08) -> None:
    """Set a logarithmic scale for positive values, with up to seven round numbers and a margin of `room`."""
    low, high = math.log10(min(values)), math.log10(max(values))
    spare = max(room * (high - low), 0.03)
    low, high = low - spare, high + spare
    if isinstance(axis, XAxis):
        axis.axes.set(xscale="log", xlim=(10**low, 10**high))
    else:
        axis.axes.set(yscale="log", ylim=(10**low, 10**high))
    ticks = list(_round_numbers(low, high))
    axis.set_ticks(ticks, [f"{tick:,.6g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def _round_numbers(low: float, high: float) -> Sequence[float]:
    """Round numbers for a scale from 10**low to 10**high."""
    for steps in _ROUND:
        decades = range(math.floor(low), math.ceil(high) + 1)
        found = [step * 10.0**decade for decade in decades for step in steps]
        inside = [value for value in found if low <= math.log10(value) <= high]
        if len(inside) <= 7:
            break
    if len(inside) >= 3:
        return inside
    return [
        value
        for value in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(10**low, 10**high)
        if 10**low <= value <= 10**high
    ]


def named_rows(axes: Axes, names: Sequence[str], longest: int = _LONGEST) -> None:
    """Name the rows 0, 1, ... from top to bottom, and shade every other one."""
    axes.set_yticks(range(len(names)), [plain(name, longest) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params("y", length=0)
    for row in range(1, len(names), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#f2f2f2", zorder=0)


def legend(axes: Axes, handles: Sequence[Artist], columns: int = 3) -> None:
    """Draw a legend below the axes, where it covers nothing."""
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    figure.legend(handles=list(handles), loc="outside lower center", ncols=columns)


def spread_out(positions: Sequence[float], gap: float) -> list[float]:
    """Move positions so that neighbours are at least `gap` apart, keeping their order and mean.

    >>> spread_out([0.0, 0.0, 5.0], 1.0)
    [-0.5, 0.5, 5.0]
    """
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    groups: list[tuple[float, int]] = []  # middle and size of each group of touching positions
    for index in order:
        groups.append((positions[index], 1))
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < gap * (groups[-1][1] + groups[-2][1]) / 2:
            (left, many), (right, more) = groups[-2:]
            groups[-2:] = [((left * many + right * more) / (many + more), many + more)]
    found = [middle + gap * (place - (count - 1) / 2) for middle, count in groups for place in range(count)]
    return [found[order.index(index)] for index in range(len(positions))]
