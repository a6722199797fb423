"""What a search found: the points that no other beats, the one to take, and a figure of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib.figure import Figure

from osteolite.edge.atomic import atomic_path
from osteolite.edge.errors import GateRefusal

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # told apart by colour-blind people (Okabe and Ito)
_MARKERS = "os^DvP*X<>"


@dataclass(frozen=True)
class TuningLimits:
    """What the result must keep; None: whatever it is."""

    milliseconds: float | None = None  # at most, p50 of one image
    megabytes: float | None = None  # at most, of the file
    auroc: float | None = None  # at least, on the validation part

    def keeps(self, milliseconds: float, megabytes: float, auroc: float = 1.0) -> bool:
        return (
            (self.milliseconds is None or milliseconds <= self.milliseconds)
            and (self.megabytes is None or megabytes <= self.megabytes)
            and (self.auroc is None or auroc >= self.auroc)
        )


@dataclass(frozen=True)
class Point:
    """A variant of a trained candidate that passed the gate."""

    file: str
    width: float
    input: tuple[int, int]  # width and height, pixels
    variant: str
    milliseconds: float
    megabytes: float
    auroc: float  # on the validation part
    low: float  # of its 95 % interval
    high: float

    def beats(self, other: "Point") -> bool:
        """Whether it is at least as good in everything and better in something."""
        mine = (self.auroc, -self.milliseconds, -self.megabytes)
        theirs = (other.auroc, -other.milliseconds, -other.megabytes)
        return mine != theirs and all(a >= b for a, b in zip(mine, theirs, strict=True))


def front(points: Iterable[Point]) -> list[Point]:
    """Those that no other beats, the fastest first (V. Pareto).

    >>> fast = Point("a", 0.35, (224, 224), "int8", 2.0, 0.7, 0.85, 0.80, 0.90)
    >>> from dataclasses import replace
    >>> slow = replace(fast, file="b", milliseconds=9.0, megabytes=2.7, auroc=0.92)
    >>> beaten = replace(slow, file="c", auroc=0.91)
    >>> [point.file for point in front([slow, fast, beaten])]
    ['a', 'b']
    """
    listed = list(points)
    left = [point for point in listed if not any(other.beats(point) for other in listed)]
    return sorted(left, key=lambda point: point.milliseconds)


def choose(points: Iterable[Point], limits: TuningLimits) -> Point:
    """The best that keeps the limits: the fastest where an AUROC is asked for, else the most accurate.

    Raises:
        GateRefusal: none does.
    """
    listed = list(points)
    kept = [point for point in listed if limits.keeps(point.milliseconds, point.megabytes, point.auroc)]
    if not kept:
        seen = "; ".join(
            f"{point.file}: AUROC {point.auroc:.3f}, {point.milliseconds:.1f} ms, {point.megabytes:.2f} MB"
            for point in front(listed)
        )
        raise GateRefusal(f"nothing keeps all limits; the best there is: {seen or 'no variant passed the gate'}")
    if limits.auroc is not None:
        return min(kept, key=lambda point: (point.milliseconds, point.megabytes))
    return max(kept, key=lambda point: (point.auroc, -point.milliseconds))


def draw(points: list[Point], limits: TuningLimits, choice: Point | None, target: Path) -> None:
    """Draw AUROC against latency, a colour for each width and a marker for each variant, with front and limits.

    Args:
        points: at least one.
        limits: drawn as lines.
        choice: gets a ring and its name.
        target: the PNG.
    """
    figure = Figure((7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    best = front(points)
    axes.plot([p.milliseconds for p in best], [p.auroc for p in best], color="#999", linewidth=1, zorder=1)
    widths, variants = sorted({p.width for p in points}), list(dict.fromkeys(p.variant for p in points))
    for point in points:
        spread = [[point.auroc - point.low], [point.high - point.auroc]]
        colour = _COLOURS[widths.index(point.width) % len(_COLOURS)]
        marker = _MARKERS[variants.index(point.variant) % len(_MARKERS)]
        axes.errorbar(
            point.milliseconds, point.auroc, spread, fmt=marker, color=colour, alpha=0.9, elinewidth=0.6, markersize=7
        )
    for width in widths:
        axes.plot([], [], "s", color=_COLOURS[widths.index(width) % len(_COLOURS)], label=f"width {width:g}")
    for variant in variants:
        axes.plot([], [], _MARKERS[variants.index(variant) % len(_MARKERS)], color="#555", label=variant)
    if limits.milliseconds is not None:
        axes.axvline(limits.milliseconds, color="#999", linestyle="--", linewidth=0.8)
    if limits.auroc is not None:
        axes.axhline(limits.auroc, color="#999", linestyle="--", linewidth=0.8)
    if choice is not None:
        axes.plot(choice.milliseconds, choice.auroc, "o", markersize=16, markerfacecolor="none", color="black")
    axes.set_xlim(left=0)
    axes.set_xlabel("p50 of one image on this device, ms")
    axes.set_ylabel("AUROC, validation part, with 95 % interval")
    axes.set_title("The front is the grey line" + ("; the ring is the choice" if choice else ""), fontsize=10)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    with atomic_path(target) as part:
        figure.savefig(part, format="png", dpi=160)
