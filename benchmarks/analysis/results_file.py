"""Read and check result files of `osteolite bench`. A file may come from anybody.

What is returned has the fields that `summary` describes, of the right types, with finite numbers and without control
characters, so that a page or a terminal can show it.
"""

import json
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

from osteolite.edge.errors import UsageError

from ..harness.records import OSTEOLITE

SCHEMA = 2
NAME = "benchmark.json"

MOST_BYTES = 32 * 2**20  # of one file; a hundred results with their operators take about 5 MB
_MOST_FILES = 100  # on one page
_MOST_RESULTS = 500  # in one file
_DIGITS = 15  # of a number; no measurement has more

# The shape of a file: a tuple lists alternatives, [x] is a list of x, [x, x] a list of two, {str: x} an object with any
# names, and "name?" may be absent.
_NUMBER = (int, float)
_MAYBE = (None, *_NUMBER)
_TEXT = (None, str)
_PAIR = (None, [_NUMBER, _NUMBER])
_TIMES = {"p50": _MAYBE, "p90?": _MAYBE, "p99?": _MAYBE, "runs?": _MAYBE}
_INVOKE = _TIMES | {"intervals?": {str: _PAIR}, "launches?": [_NUMBER], "distribution?": [_NUMBER]}
_ROW = {str: (None, str, bool, *_NUMBER, list, dict)}
_OPERATORS = (None, {"taken": _MAYBE, "of": _MAYBE})
_RESULT_SHAPE = {
    "file": str,
    "variant": str,
    "device": str,
    "threads": int,
    "bytes": int,
    "engine": str,
    "runtime": _TEXT,
    "delegate": {"asked": _TEXT, "applied": _TEXT, "operators?": _OPERATORS, "reason?": _TEXT},
    "milliseconds": {
        "cold_start": {str: _MAYBE},
        "invoke": (None, _INVOKE),
        "read?": (None, _TIMES),
        "preprocess?": (None, _TIMES),
        "whole?": (None, _TIMES),
    },
    "peak_mb": _MAYBE,
    "steady_mb": _MAYBE,
    "accuracy": _MAYBE,
    "auroc": _MAYBE,
    "batch?": (None, {"size": _NUMBER, "milliseconds?": _MAYBE, "reason?": _TEXT}),
    "scenarios?": (None, {str: _ROW}),
    "millijoules?": _MAYBE,
    "operators?": (None, [_ROW]),
    "relative?": (None, {"to": str, "ratio": _NUMBER, "low": _MAYBE, "high": _MAYBE}),
    "foreign_cores?": _MAYBE,
    "valid": bool,
    "reasons": [str],
}
_FILE_SHAPE = {
    "schema": int,
    "device": str,
    "conditions": {
        str: (None, str, bool, *_NUMBER, list, dict),
        "load_average?": (None, [_NUMBER]),
        "seconds?": _MAYBE,
        "before?": (None, {str: object, "throttled?": (None, [str])}),
        "after?": (None, {str: object, "throttled?": (None, [str])}),
    },
    "images": int,
    "left_out": {str: str},
    "results": [_RESULT_SHAPE],
}


def read_results(path: str, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """Read the results of one benchmark.

    Args:
        path: a result file, or a folder that contains benchmark.json.
        most_bytes: larger files are refused.

    Returns:
        The JSON that `summary` describes.

    Raises:
        UsageError: the file does not exist, has another schema, or is not a benchmark result.
    """
    if os.path.isdir(path):
        path = os.path.join(path, NAME)
    found = _parsed(path, most_bytes)
    if not isinstance(found, dict) or "schema" not in found:
        raise UsageError(f"{path}: not a benchmark result; give a file that `osteolite bench --out` wrote")
    if (schema := found["schema"]) != SCHEMA:
        older = isinstance(schema, int) and schema < SCHEMA
        raise UsageError(
            f"{path}: schema {str(schema)[:20]} is from {'an older' if older else 'another'} version, "
            f"only schema {SCHEMA} is read; measure again"
        )
    if fault := _fault(found, _FILE_SHAPE, ""):
        raise UsageError(f"{path}: damaged: {fault}; measure again")
    if len(found["results"]) > _MOST_RESULTS:
        raise UsageError(
            f"{path}: {len(found['results'])} results, at most {_MOST_RESULTS} are allowed; measure fewer files"
        )
    cleaned: dict[str, Any] = _cleaned(found)
    return cleaned


def find_results(folder: str) -> dict[str, dict[str, Any]]:
    """Read all results below a folder, keyed by their path relative to it, in order.

    Every benchmark.json must be a result. Other JSON files are read if they are results of this schema.

    Raises:
        UsageError: there are no results, too many, or one that `read_results` refuses.
    """
    if not os.path.isdir(folder):
        raise UsageError(f"{folder}: not a folder; give one that `osteolite bench --out` wrote")
    paths = sorted(Path(folder).rglob("*.json"))
    chosen = [path for path in paths if path.is_file() and (path.name == NAME or _is_result(path))]
    if not chosen:
        raise UsageError(f"{folder}: no results below it; write them there with `osteolite bench --out`")
    if len(chosen) > _MOST_FILES:
        raise UsageError(
            f"{folder}: {len(chosen)} results below it, at most {_MOST_FILES} are allowed; give a folder with fewer"
        )
    return {path.relative_to(folder).as_posix(): read_results(str(path)) for path in chosen}


def result_names(results: list[dict[str, Any]]) -> list[str]:
    """A short name for each result of a benchmark, without the number of threads.

    The name is the variant, or the file if an engine ran several files of that variant. It also has the engine of a
    peer, and the delegate if the benchmark requested several.
    """
    files = {(one["engine"], one["variant"], one["file"]) for one in results}
    shared = Counter((engine, variant) for engine, variant, _ in files)
    several = len({one["delegate"]["asked"] for one in results}) > 1
    names = []
    for one in results:
        alone = shared[one["engine"], one["variant"]] == 1 and one["variant"]
        parts = [one["variant"] if alone else os.path.splitext(one["file"])[0]]
        parts += [one["engine"]] if one["engine"] != OSTEOLITE else []
        parts += [os.path.basename(one["delegate"]["asked"] or "")] if several else []
        names.append(" · ".join(filter(None, parts)))
    return names


def _parsed(path: str, most_bytes: int = MOST_BYTES) -> Any:
    try:
        with Path(path).open("rb") as stream:
            content = stream.read(most_bytes + 1)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror or error}); give a file that `osteolite bench --out` wrote"
        ) from error
    if len(content) > most_bytes:
        raise UsageError(f"{path}: over {most_bytes / 2**20:g} MiB, too large for a benchmark result")
    try:
        return json.loads(content, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON, or it has invalid numbers; give a {NAME}") from error


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(text)
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)) or abs(value) > 10.0**_DIGITS:
        raise ValueError(text)
    return value


def _is_result(path: Path) -> bool:
    try:
        found = _parsed(str(path))
    except UsageError:
        return False
    return isinstance(found, dict) and found.get("schema") == SCHEMA and {"device", "results"} <= found.keys()


def _fault(value: Any, shape: Any, where: str) -> str:
    """Describe how a value differs from its shape; empty if it does not."""
    if isinstance(shape, tuple):
        faults = [_fault(value, one, where) for one in shape]
        return "" if "" in faults else faults[-1]
    if isinstance(shape, dict):
        return _fault_of_fields(value, shape, where) if isinstance(value, dict) else f"{where} is not an object"
    if isinstance(shape, list):
        if not isinstance(value, list) or len(shape) not in (1, len(value)):
            return f"{where} is not a list" + (f" of {len(shape)}" if len(shape) > 1 else "")
        return next(filter(None, (_fault(one, shape[0], f"{where}[{i}]") for i, one in enumerate(value))), "")
    if shape is None:
        return "" if value is None else f"{where} is not null"
    fits = isinstance(value, shape) and (shape in (bool, object) or not isinstance(value, bool))
    return "" if fits else f"{where} is not of type {shape.__name__}"


def _fault_of_fields(value: dict[str, Any], shape: dict[Any, Any], where: str) -> str:
    named = {name.removesuffix("?"): wanted for name, wanted in shape.items() if name is not str}
    for name in (name for name in shape if name is not str and not name.endswith("?")):
        if name not in value:
            return f"{where or 'the result'} has no {name}"
    for name, inner in value.items():
        wanted = named.get(name, shape.get(str, object))
        if fault := _fault(inner, wanted, f"{where}.{name}".lstrip(".")[:80]):
            return fault
    return ""


def _cleaned(value: Any) -> Any:
    """Replace each character that cannot be shown by a replacement character."""
    if isinstance(value, str):
        shown = (one if one.isprintable() else " " if one.isspace() else "\N{REPLACEMENT CHARACTER}" for one in value)
        return "".join(shown)
    if isinstance(value, list):
        return [_cleaned(one) for one in value]
    if isinstance(value, dict):
        return {_cleaned(name): _cleaned(one) for name, one in value.items()}
    return value
