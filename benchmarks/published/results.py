"""The figures under `results/`, as tables quote them."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"

Lines = list[list[str]]


def published(*path: str) -> Any:
    """The content of a JSON file of the results."""
    return json.loads(RESULTS.joinpath(*path).read_text(encoding="utf-8"))


def figure(one: dict[str, float]) -> str:
    """A value with its interval."""
    return "{value:.3f} ({low:.3f} to {high:.3f})".format(**one)


def share(one: dict[str, float]) -> str:
    """The same in percent."""
    return f"{100 * one['value']:.1f} % ({100 * one['low']:.1f} to {100 * one['high']:.1f})"
