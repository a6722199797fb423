"""Read the published results under `results/`, and format their values for tables."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"

Lines = list[list[str]]


def published(*path: str) -> Any:
    """The content of a JSON file under `results/`."""
    return json.loads(RESULTS.joinpath(*path).read_text(encoding="utf-8"))


def interval_text(one: dict[str, float]) -> str:
    """A value with its interval, with three decimals."""
    return "{value:.3f} ({low:.3f} to {high:.3f})".format(**one)


def percent_text(one: dict[str, float]) -> str:
    """A value with its interval, in per cent."""
    return f"{100 * one['value']:.1f} % ({100 * one['low']:.1f} to {100 * one['high']:.1f})"
