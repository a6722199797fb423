"""Read and check results that the benchmark page saved in a browser. The file may come from anybody."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.errors import UsageError

from ..harness.records import Case, Launch, Measured

FORMAT, VERSION = "osteolite-bench-figures", 1

_MOST_BYTES = 8 * 2**20
_MOST_TEXT = 500  # characters of a text
_MOST_NUMBER = 1e12
_MOST = {"lanes": 200, "launches": 100, "invoke": 1000, "runs": 1000}
# Fields of the conditions by type.
_TEXTS = ("machine", "architecture", "system", "browser", "litert.js", "started")
_NUMBERS = ("timer_resolution_ms", "seconds")
_STATES = ("before", "after")
_ADAPTER = {"vendor", "architecture", "description"}


class _Wrong(Exception):
    """Describes what is wrong with the content, and what is allowed."""


def read_figures(path: str) -> Measured:
    """Read the file that the benchmark page saves through its link `Save results`.

    Raises:
        UsageError: the file does not exist or has other content. The message says what is wrong and where.

    >>> read_figures("a.json")
    Traceback (most recent call last):
    osteolite.edge.errors.UsageError: a.json: does not exist; give the file that the page's link Save results saved
    """
    try:
        return _measured(_envelope(_parsed(path)))
    except _Wrong as wrong:
        raise UsageError(f"{path}: {wrong}; give the file that the page's link Save results saved") from wrong


def measured_of(values: Any) -> Measured:
    """Check the `measured` of a page, and return it as records.

    Raises:
        UsageError: the values are not what the page produces.
    """
    try:
        return _measured(values)
    except _Wrong as wrong:
        raise UsageError(f"the results of the page cannot be read: {wrong}") from wrong


def _parsed(path: str) -> Any:
    try:
        if not Path(path).is_file():
            raise _Wrong("does not exist")
        with Path(path).open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise _Wrong(f"cannot be opened ({error})") from error
    if len(content) > _MOST_BYTES:
        raise _Wrong(f"over {_MOST_BYTES >> 20} MB, the largest size that is read")
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _Wrong("not JSON") from error


def _envelope(values: Any) -> Any:
    found = _table(values, "the file", {"format", "version", "measured"})
    if found.get("format") != FORMAT:
        raise _Wrong(f"its format is not {FORMAT}")
    if type(found.get("version")) is not int or found["version"] != VERSION:
        raise _Wrong(f"its version is not {VERSION}, the only one that is read")
    return found.get("measured")


def _measured(values: Any) -> Measured:
    found = _table(values, "measured", {"device", "conditions", "lanes", "labels", "left_out"})
    if found.get("device") != "browser":
        raise _Wrong("its device is not browser")
    cases = _list(found.get("lanes"), "lanes", _MOST["lanes"])
    if not cases:
        raise _Wrong("lanes is empty")
    for name in ("labels", "left_out"):
        _empty(found.get(name), name)
    return Measured(
        device="browser",
        conditions=_conditions(found.get("conditions")),
        cases=[_case(case, f"lanes[{index}]") for index, case in enumerate(cases)],
    )


def _conditions(values: Any) -> dict[str, Any]:
    names = {"load_average", "cores", "webgpu", *_TEXTS, *_NUMBERS, *_STATES, "cross_origin_isolated"}
    found = _table(values, "conditions", names)
    if missing := sorted(names - set(found)):
        raise _Wrong(f"conditions has no {missing[0]}")
    for name in _TEXTS:
        _text(found[name], f"conditions.{name}")
    for name in _NUMBERS:
        _number(found[name], f"conditions.{name}")
    if found["cores"] is not None:
        _whole(found["cores"], "conditions.cores", 1)
    if not isinstance(found["cross_origin_isolated"], bool) or found["load_average"] is not None:
        raise _Wrong("in conditions, cross_origin_isolated is not true or false, or load_average is not null")
    for name, value in _table(found["webgpu"] or {}, "conditions.webgpu", _ADAPTER).items():
        _text(value, f"conditions.webgpu.{name}")
    for name in _STATES:
        if _table(found[name], f"conditions.{name}", {"on_battery"}).get("on_battery") not in (None, True, False):
            raise _Wrong(f"conditions.{name}.on_battery is not true, false or null")
    return found


def _case(values: Any, where: str) -> Case:
    found = _table(values, where, Case.json_keys())
    for name in ("steps", "probabilities", "answers", "batch", "scenarios", "operators"):
        _empty(found.get(name), f"{where}.{name}")
    for name in ("taken", "of"):
        if found.get(name) is not None:
            raise _Wrong(f"{where}.{name} is not null")
    case = Case(
        file=_text(found.get("file"), f"{where}.file"),
        variant=_text(found.get("variant"), f"{where}.variant"),
        bytes=_whole(found.get("bytes"), f"{where}.bytes", 0),
        threads=_whole(found.get("threads"), f"{where}.threads", 1),
    )
    case.requested = _text(found.get("asked"), f"{where}.asked")
    for name in ("engine", "runtime", "applied", "reason", "error"):
        setattr(case, name, _text(found.get(name), f"{where}.{name}"))
    launches = _list(found.get("launches"), f"{where}.launches", _MOST["launches"])
    if not case.file or not case.engine or bool(launches) == bool(case.error):
        raise _Wrong(f"{where} needs a file, an engine, and either launches or an error")
    case.launches = [_launch(launch, f"{where}.launches[{index}]") for index, launch in enumerate(launches)]
    return case


def _launch(values: Any, where: str) -> Launch:
    found = _table(values, where, set(Launch.__dataclass_fields__))
    _empty(found.get("quantiles"), f"{where}.quantiles")
    if found.get("runs", 0) != 0:
        raise _Wrong(f"{where}.runs is not 0")
    for name in ("peak_mb", "steady_mb", "foreign_cores", "stolen", "joules"):
        if found.get(name) is not None:
            raise _Wrong(f"{where}.{name} is not null")
    if not isinstance(found.get("steady"), bool):
        raise _Wrong(f"{where}.steady is not true or false")
    cold = _table(found.get("cold_start"), f"{where}.cold_start", {"load", "first_invoke"})
    turns = [
        [_number(spent, f"{where}.invoke") for spent in _list(turn, f"{where}.invoke", _MOST["runs"])]
        for turn in _list(found.get("invoke"), f"{where}.invoke", _MOST["invoke"])
    ]
    if not turns or not all(turns):
        raise _Wrong(f"{where}.invoke has no runs, or a turn without runs")
    if not np.median([spent for turn in turns for spent in turn]) > 0:
        raise _Wrong(f"{where}.invoke has a median of 0 ms: the browser's clock was too coarse for the model")
    return Launch(
        cold_start={name: _number(value, f"{where}.cold_start.{name}") for name, value in cold.items()},
        warm_up=_whole(found.get("warm_up"), f"{where}.warm_up", 0),
        steady=found["steady"],
        invoke=turns,
    )


def _table(value: Any, where: str, names: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"{where} is not an object")
    if unknown := sorted(set(value) - names):
        raise _Wrong(f"{where} has a field {unknown[0][:40]!a}; allowed are {', '.join(sorted(names))}")
    return value


def _list(value: Any, where: str, most: int) -> list[Any]:
    if not isinstance(value, list):
        raise _Wrong(f"{where} is not a list")
    if len(value) > most:
        raise _Wrong(f"{where} has {len(value)} entries; at most {most} are allowed")
    return value


def _empty(value: Any, where: str) -> None:
    if value not in (None, [], {}):
        raise _Wrong(f"{where} is not empty; the page never fills it")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or len(value) > _MOST_TEXT or not value.isprintable():
        raise _Wrong(f"{where} is not a line of at most {_MOST_TEXT} printable characters")
    return value


def _whole(value: Any, where: str, least: int) -> int:
    if type(value) is not int or not least <= value <= _MOST_NUMBER:
        raise _Wrong(f"{where} is not a whole number of {least} or more")
    return value


def _number(value: Any, where: str) -> float:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known or not 0 <= value <= _MOST_NUMBER or not math.isfinite(value):
        raise _Wrong(f"{where} is not a number from 0 to {_MOST_NUMBER:g}")
    return float(value)
