"""Plots of a run as PNG: training, ROC, precision and recall, reliability before and after, confusion."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_BLUE, _ORANGE = "#0072b2", "#d55e00"  # distinguishable for colour-blind people (Okabe and Ito)
_STYLES = (("validation", _ORANGE, "--"), ("test", _BLUE, "-"))
_SIDE = 3.6  # inches


@dataclass(frozen=True)
class Plot:
    """A plot for the report."""

    alt: str
    png: str  # base64
    width: int  # on the page, pixels


def draw_plots(evaluation: dict[str, Any], history: list[dict[str, Any]]) -> list[Plot]:
    """Draw the six plots of a finished run.

    Args:
        evaluation: the run's evaluation.json.
        history: the epochs of its progress.json.
    """
    before = evaluation["uncalibrated"]
    after = {
        split: {"calibration": evaluation[split]["curves"]["calibration"], "ece": evaluation[split]["ece"]}
        for split, _, _ in _STYLES
    }
    return [
        _draw("Training", lambda axes: _training(axes, history)),
        _draw("ROC curve", lambda axes: _roc(axes, evaluation)),
        _draw("Precision and recall", lambda axes: _precision_recall(axes, evaluation)),
        _draw("Reliability before calibration", lambda axes: _reliability(axes, before)),
        _draw("Reliability after calibration", lambda axes: _reliability(axes, after)),
        _draw("Confusion matrix, test split", lambda axes: _confusion(axes, evaluation["test"]["confusion"])),
    ]


def _draw(title: str, paint: Callable[[Axes], None]) -> Plot:
    figure = Figure((_SIDE, _SIDE), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    paint(axes)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=160)
    return Plot(title, base64.b64encode(stream.getvalue()).decode(), 360)


def _training(axes: Axes, history: list[dict[str, Any]]) -> None:
    epochs = range(1, len(history) + 1)
    axes.plot(epochs, [entry["validation"] for entry in history], color=_BLUE, label="validation AUROC")
    axes.plot(epochs, [entry["loss"] for entry in history], color=_ORANGE, linestyle="--", label="training loss")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, max(1.0, *(entry["loss"] for entry in history)) * 1.02)
    axes.legend(frameon=False)


def _roc(axes: Axes, evaluation: dict[str, Any]) -> None:
    for split, colour, style in _STYLES:
        x, y = zip(*evaluation[split]["curves"]["roc"], strict=True)
        axes.plot(
            x, y, color=colour, linestyle=style, label=f"{split}, AUROC {evaluation[split]['auroc']['value']:.3f}"
        )
    test = evaluation["test"]
    axes.plot(1 - test["specificity"]["value"], test["sensitivity"]["value"], "o", color=_BLUE, label="threshold, test")
    _diagonal(axes)
    _square(axes, "1 - specificity", "sensitivity")
    axes.legend(frameon=False, loc="lower right", fontsize=8)


def _precision_recall(axes: Axes, evaluation: dict[str, Any]) -> None:
    for split, colour, style in _STYLES:
        x, y = zip(*evaluation[split]["curves"]["precision_recall"], strict=True)
        found = evaluation[split]["average_precision"]["value"]
        axes.step(x, y, where="post", color=colour, linestyle=style, label=f"{split}, average precision {found:.3f}")
    test = evaluation["test"]
    axes.plot(test["recall"]["value"], test["precision"]["value"], "o", color=_BLUE, label="threshold, test")
    axes.axhline(test["fractured"] / test["count"], color="#999", linewidth=0.8, label="chance, test")
    _square(axes, "recall (sensitivity)", "precision")
    axes.legend(frameon=False, loc="lower left", fontsize=8)


def _reliability(axes: Axes, splits: dict[str, Any]) -> None:
    """Draw a point for each bin; its area shows the number of images in it."""
    for (split, colour, _), marker in zip(_STYLES, "so", strict=True):
        x, y, count = zip(*splits[split]["calibration"], strict=True)
        areas = [12 + 300 * n / sum(count) for n in count]
        axes.scatter(x, y, areas, color=colour, marker=marker, alpha=0.65, linewidths=0)
        axes.plot([], [], marker, color=colour, label=f"{split}, ECE {splits[split]['ece']['value']:.3f}")
    _diagonal(axes)
    _square(axes, "predicted probability", "share fractured")
    axes.legend(frameon=False, loc="upper left", fontsize=8)


def _diagonal(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color="#999", linewidth=0.8)


def _square(axes: Axes, x: str, y: str) -> None:
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_aspect("equal")


def _confusion(axes: Axes, count: dict[str, int]) -> None:
    matrix = [[count["tn"], count["fp"]], [count["fn"], count["tp"]]]
    shares = [[value / max(1, sum(row)) for value in row] for row in matrix]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for y, row in enumerate(matrix):
        for x, value in enumerate(row):
            dark = shares[y][x] > 0.5
            text = f"{value}\n{shares[y][x]:.0%}"
            axes.text(x, y, text, ha="center", va="center", color="white" if dark else "black", fontsize=13)
    axes.set_xticks([0, 1], ["normal", "fractured"])
    axes.set_yticks([0, 1], ["normal", "fractured"], rotation=90, va="center")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
