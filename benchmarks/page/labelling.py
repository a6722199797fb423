"""Place labels beside the points of a plot, clear of each other and of the drawing where there is room."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from .drawing import GREY

Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, bottom, right, top, in pixels
Line = tuple[Point, Point]

_RADII = (9, 15, 24, 35, 48, 63, 80, 100, 125)  # pixels from a point to its label
_DIRECTIONS = 16
_POINT, _STROKE = 5, 2  # half-widths of a point and of a line, pixels
_GAP = 3  # pixels between the end of a leader and its label
_SIZE = 9  # font size, points


@dataclass
class _Sheet:
    """What is already drawn, and the labels placed so far."""

    frame: Box
    points: list[Point]
    strokes: list[Box]
    labels: list[Box] = field(default_factory=list)
    leaders: list[Line] = field(default_factory=list)

    def cost(self, box: Box, leader: Line, own: list[Point]) -> float:
        """The cost of a place: what the label covers, what covers it, and whether it seems to name other points."""
        outside = sum(max(0.0, self.frame[i] - box[i]) + max(0.0, box[i + 2] - self.frame[i + 2]) for i in (0, 1))
        roomy = _padded(box, 2)
        return (
            10 * outside
            + 100 * sum(_overlap(roomy, other) for other in self.labels)
            + 15 * sum(_distance(box, point) < _POINT for point in self.points)
            + 15 * (self._meets_another(leader, own) if _is_drawn(leader) else self._seems_of_another(box, own))
            + 2 * sum(_overlap(box, other) for other in self.strokes)
            + 40 * sum(_crosses(leader, other) for other in self.labels)
            + 40 * sum(_crosses(other, roomy) for other in self.leaders)
        )

    def _meets_another(self, leader: Line, own: list[Point]) -> bool:
        others = (_padded((*point, *point), _POINT) for point in self.points if point not in own)
        return any(_crosses(leader, other) for other in others)

    def _seems_of_another(self, box: Box, own: list[Point]) -> bool:
        near = min(_distance(box, point) for point in own) + 3
        return any(_distance(box, point) < near for point in self.points if point not in own)


def label_points(axes: Axes, labels: Sequence[tuple[Sequence[Point], str]], paths: Sequence[Sequence[Point]]) -> None:
    """Write each label beside one of its points.

    Args:
        axes: with their final limits.
        labels: for each label, its possible points and its text.
        paths: lines that labels should not cover, least of all the points on them.
    """
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()  # computes the layout, so that pixel positions are final
    canvas: Any = FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()
    traced: list[list[Point]] = [axes.transData.transform(path).tolist() for path in paths]
    sheet = _Sheet(
        _box(axes.get_window_extent(renderer)),
        [(x, y) for path in traced for x, y in path],
        [_padded((*point, *point), _STROKE) for path in traced for point in _along(path)],
    )
    for points, text in labels:
        written = axes.text(0, 0, text, fontsize=_SIZE)
        own = [(x, y) for x, y in axes.transData.transform(points).tolist()]
        box, leader = _best(own, _box(written.get_window_extent(renderer)), sheet)
        sheet.labels.append(box)
        sheet.leaders.append(leader)
        start, end, corner = axes.transAxes.inverted().transform([*leader, box[:2]])
        written.set(position=corner, transform=axes.transAxes)
        if _is_drawn(leader):
            axes.plot(*zip(start, end, strict=True), color=GREY, linewidth=0.6, zorder=1.5, transform=axes.transAxes)


def _best(points: list[Point], written: Box, sheet: _Sheet) -> tuple[Box, Line]:
    """The best place for a label of that size, and the line that leads to it."""
    width, height = written[2] - written[0], written[3] - written[1]
    best: tuple[Box, Line] | None = None
    least = math.inf
    for radius, box, leader in _places(points, width, height):
        distance = radius / 12
        if distance >= least:
            break  # all following places are at least as far away
        if (cost := distance + sheet.cost(box, leader, points)) < least:
            least, best = cost, (box, leader)
    assert best is not None
    return best


def _places(points: list[Point], width: float, height: float) -> Iterator[tuple[float, Box, Line]]:
    """Possible places, from near to far, and from the right of a point round to its left."""
    for radius in _RADII:
        for turn in range(_DIRECTIONS):
            angle = (-1) ** turn * math.ceil(turn / 2) * math.tau / _DIRECTIONS
            right, up = math.cos(angle), math.sin(angle)
            for x, y in points:
                left = x + radius * right - width * (1 - right) / 2
                bottom = y + radius * up - height * (1 - up) / 2
                end = (x + (radius - _GAP) * right, y + (radius - _GAP) * up)
                yield radius, (left, bottom, left + width, bottom + height), ((x, y), end)


def _box(extent: Bbox) -> Box:
    return float(extent.x0), float(extent.y0), float(extent.x1), float(extent.y1)


def _padded(box: Box, by: float) -> Box:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _is_drawn(leader: Line) -> bool:
    """Whether a label is so far from its point that it needs a line."""
    return math.dist(*leader) > _RADII[1]


def _distance(box: Box, point: Point) -> float:
    x, y = (max(box[i] - point[i], 0.0, point[i] - box[i + 2]) for i in (0, 1))
    return math.hypot(x, y)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _crosses(line: Line, box: Box) -> bool:
    """Whether a line crosses a box."""
    return any(box[0] < x < box[2] and box[1] < y < box[3] for x, y in _along(line))


def _along(path: Sequence[Point]) -> Iterator[Point]:
    """Points on a path, about 5 pixels apart."""
    for (x0, y0), (x1, y1) in pairwise(path):
        steps = max(1, round(math.dist((x0, y0), (x1, y1)) / 5))
        for step in range(1, steps + 1):
            yield x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps
