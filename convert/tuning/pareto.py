"""The Pareto front of measured variants, the choice within limits, and the plot of both."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib.figure import Figure

from osteolite.edge.atomic import atomic_path
from osteolite.edge.errors import GateRefusal

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # distinct for colour-blind people (Okabe and Ito)
_MARKERS = "os^DvP*X<>"


@dataclass(frozen=True)
class TuningLimits:
    """The limits of a search; None, no limit."""

    milliseconds: float | None = None  # maximum p50 of one image
    megabytes: float | None = None  # maximum size of the file
    auroc: float | None = None  # minimum AUROC on the validation split

    def met_by(self, milliseconds: float, megabytes: float, auroc: float = 1.0) -> bool:
        """Whether these values are within the limits."""
        return (
            (self.milliseconds is None or milliseconds <= self.milliseconds)
            and (self.megabytes is None or megabytes <= self.megabytes)
            and (self.auroc is None or auroc >= self.auroc)
        )


@dataclass(frozen=True)
class Point:
    """A variant of a trained candidate that passed the gate."""

    file: str  # path
    width: float  # of MobileNetV2
    input: tuple[int, int]  # width and height, pixels
    variant: str
    milliseconds: float  # p50 of one image
    megabytes: float
    auroc: float  # on the validation split
    low: float  # of the 95 % interval of auroc
    high: float

    def beats(self, other: "Point") -> bool:
        """Whether it is at least as good in all of AUROC, time and size, and better in one."""
        own = (self.auroc, -self.milliseconds, -self.megabytes)
        others = (other.auroc, -other.milliseconds, -other.megabytes)
        return own != others and all(a >= b for a, b in zip(own, others, strict=True))


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """The points that no other point beats, the fastest first (V. Pareto).

    >>> from dataclasses import replace
    >>> fast = Point("a", 0.35, (224, 224), "int8", 2.0, 0.7, 0.85, 0.80, 0.90)
    >>> slow = replace(fast, file="b", milliseconds=9.0, megabytes=2.7, auroc=0.92)
    >>> beaten = replace(slow, file="c", auroc=0.91)
    >>> [point.file for point in pareto_front([slow, fast, beaten])]
    ['a', 'b']
    """
    listed = list(points)
    front = [point for point in listed if not any(other.beats(point) for other in listed)]
    return sorted(front, key=lambda point: point.milliseconds)


def choose(points: Iterable[Point], limits: TuningLimits) -> Point:
    """Choose the fastest point within the limits if they have an AUROC, otherwise the most accurate.

    Raises:
        GateRefusal: no point is within the limits.
    """
    listed = list(points)
    allowed = [point for point in listed if limits.met_by(point.milliseconds, point.megabytes, point.auroc)]
    if not allowed:
        best = "; ".join(
            f"{point.file}: AUROC {point.auroc:.3f}, {point.milliseconds:.1f} ms, {point.megabytes:.2f} MB"
            for point in pareto_front(listed)
        )
        raise GateRefusal(f"no variant meets all limits; the best are: {best or 'none, as no variant passed the gate'}")
    if limits.auroc is not None:
        return min(allowed, key=lambda point: (point.milliseconds, point.megabytes))
    return max(allowed, key=lambda point: (point.auroc, -point.milliseconds))


def plot(points: list[Point], limits: TuningLimits, choice: Point | None, target: Path) -> None:
    """Plot AUROC against latency, with a colour for each width, a marker for each variant, front and limits.

    Args:
        points: at least one point.
        limits: drawn as lines.
        choice: drawn with a ring.
        target: the PNG file.
    """
    figure = Figure((7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    front = pareto_front(points)
    axes.plot([p.milliseconds for p in front], [p.auroc for p in front], color="#999", linewidth=1, zorder=1)
    _plot_points(axes, points)
    if limits.milliseconds is not None:
        axes.axvline(limits.milliseconds, color="#999", linestyle="--", linewidth=0.8)
    if limits.auroc is not None:
        axes.axhline(limits.auroc, color="#999", linestyle="--", linewidth=0.8)
    if choice is not None:
        axes.plot(choice.milliseconds, choice.auroc, "o", markersize=16, markerfacecolor="none", color="black")
    axes.set_xlim(left=0)
    axes.set_xlabel("p50 of one image on this device, ms")
    axes.set_ylabel("AUROC, validation split, with 95 % interval")
    axes.set_title("Grey line: Pareto front" + ("; ring: choice" if choice else ""), fontsize=10)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    with atomic_path(target) as temporary:
        figure.savefig(temporary, format="png", dpi=160)


def _plot_points(axes: Any, points: list[Point]) -> None:
    widths, variants = sorted({p.width for p in points}), list(dict.fromkeys(p.variant for p in points))
    colours = {width: _COLOURS[i % len(_COLOURS)] for i, width in enumerate(widths)}
    markers = {variant: _MARKERS[i % len(_MARKERS)] for i, variant in enumerate(variants)}
    for point in points:
        axes.errorbar(
            point.milliseconds,
            point.auroc,
            [[point.auroc - point.low], [point.high - point.auroc]],
            fmt=markers[point.variant],
            color=colours[point.width],
            alpha=0.9,
            elinewidth=0.6,
            markersize=7,
        )
    for width in widths:
        axes.plot([], [], "s", color=colours[width], label=f"width {width:g}")
    for variant in variants:
        axes.plot([], [], markers[variant], color="#555", label=variant)
