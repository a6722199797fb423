"""The results of a benchmark as a table: on the terminal, as CSV, as Markdown."""

import csv
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

from osteolite.edge.atomic import write_json, write_text

from ..harness.records import OSTEOLITE

Result = dict[str, Any]  # an entry of "results", see `summary`


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _invoke(result: Result, quantile: str) -> str:
    return _number((result["milliseconds"]["invoke"] or {}).get(quantile), 2)


def _interval(result: Result) -> str:
    found = (result["milliseconds"]["invoke"] or {}).get("intervals", {}).get("p50")
    return f"{found[0]:.2f} to {found[1]:.2f}" if found else ""


def _delegate(result: Result) -> str:
    requested, applied, operators = (result["delegate"][key] for key in ("asked", "applied", "operators"))
    count = f" {operators['taken']}/{operators['of']}" if operators else ""
    return f"{applied}{count}" if requested in ("default", applied) else f"{requested} -> {applied}{count}"


def _whole(result: Result) -> str:
    return _number((result["milliseconds"]["whole"] or {}).get("p50"), 1)


def _relative(result: Result) -> str:
    return _number((result["relative"] or {}).get("ratio"), 2)


def _batch(result: Result) -> str:
    return _number((result["batch"] or {}).get("milliseconds"), 2)


def _scenario(result: Result, name: str, key: str) -> str:
    return _number(((result["scenarios"] or {}).get(name) or {}).get(key), 2)


# The text of a cell by column title. A column without any text is left out.
COLUMNS: dict[str, Callable[[Result], str]] = {
    "variant": lambda one: one["variant"] or one["file"],
    "engine": lambda one: "" if one["engine"] == OSTEOLITE else one["engine"],
    "threads": lambda one: str(one["threads"]),
    "delegate": _delegate,
    "MB": lambda one: f"{one['bytes'] / 1e6:.2f}",
    "cold ms": lambda one: _number(one["milliseconds"]["cold_start"].get("process"), 0),
    "p50 ms": lambda one: _invoke(one, "p50"),
    "95 %": _interval,
    "p90 ms": lambda one: _invoke(one, "p90"),
    "p99 ms": lambda one: _invoke(one, "p99"),
    "x": _relative,
    "batch ms": _batch,
    "file to answer ms": _whole,
    "SingleStream p90 ms": lambda one: _scenario(one, "SingleStream", "p90_ms"),
    "Offline /s": lambda one: _scenario(one, "Offline", "samples_per_second"),
    "mJ": lambda one: _number(one["millijoules"], 1),
    "peak MB": lambda one: _number(one["peak_mb"], 0),
    "accuracy": lambda one: _number(one["accuracy"], 4),
    "AUROC": lambda one: _number(one["auroc"], 4),
    "valid": lambda one: "yes" if one["valid"] else "no",
}


def table(results: list[Result]) -> tuple[list[str], list[list[str]]]:
    """The column titles and the rows."""
    rows = {title: [cell(one) for one in results] for title, cell in COLUMNS.items()}
    used = [title for title, cells in rows.items() if any(cells)]
    return used, [[rows[title][index] for title in used] for index in range(len(results))]


def to_csv(results: list[Result]) -> str:
    titles, rows = table(results)
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*titles, "reasons"])
    for row, one in zip(rows, results, strict=True):
        writer.writerow([*row, "; ".join(one["reasons"])])
    return stream.getvalue()


def to_markdown(results: list[Result]) -> str:
    titles, rows = table(results)
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def write_results(found: dict[str, Any], folder: Path) -> None:
    """Write benchmark.json, benchmark.csv and benchmark.md, each of them atomically."""
    write_json(folder / "benchmark.json", found)
    write_text(folder / "benchmark.csv", to_csv(found["results"]))
    write_text(folder / "benchmark.md", to_markdown(found["results"]))
