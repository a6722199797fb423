"""Results that the benchmark page saved: good files are read unchanged, all others are refused in one line."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osteolite.benchmarks.analysis.phone_import import measured_of, read_figures
from osteolite.edge.errors import UsageError

LAUNCH = {
    "cold_start": {"load": 12.5, "first_invoke": 30.0},
    "warm_up": 20,
    "steady": True,
    "invoke": [[10.0, 11.5], [10.2]],
    "quantiles": {},
    "runs": 0,
    "peak_mb": None,
    "steady_mb": None,
    "foreign_cores": None,
    "stolen": None,
    "joules": None,
}
CASE = {
    "file": "model_float32.tflite",
    "variant": "float32",
    "bytes": 8_867_561,
    "threads": 4,
    "engine": "litert.js",
    "runtime": "@litertjs/core 2.5.3",
    "asked": "wasm",
    "applied": "wasm",
    "taken": None,
    "of": None,
    "reason": "",
    "launches": [LAUNCH, LAUNCH],
    "steps": {},
    "probabilities": [],
    "answers": [],
    "batch": {},
    "scenarios": {},
    "operators": [],
    "error": "",
}
CONDITIONS = {
    "machine": "Pixel 9",
    "architecture": "arm-64",
    "cores": 8,
    "system": "Mozilla/5.0 (Linux; Android 16; K)",
    "browser": "Google Chrome 150.0.1.2",
    "litert.js": "2.5.3",
    "webgpu": {"vendor": "arm", "architecture": "valhall", "description": ""},
    "cross_origin_isolated": True,
    "timer_resolution_ms": 0.005,
    "load_average": None,
    "started": "2026-11-22T02:48:20.900Z",
    "seconds": 25.6,
    "before": {"on_battery": True},
    "after": {"on_battery": None},
}
REFUSED = {**CASE, "launches": [], "applied": "", "error": "WebGPU finds no usable GPU here"}
FIGURES = {
    "format": "osteolite-bench-figures",
    "version": 1,
    "measured": {
        "device": "browser",
        "conditions": CONDITIONS,
        "lanes": [CASE, REFUSED],
        "labels": [],
        "left_out": {},
    },
}
FIGURES = json.loads(json.dumps(FIGURES))  # a copy in which no part occurs twice
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([-1, 0, 1e400, "\x1b[31m"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all parts of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, one in inner for place in places(one, (*path, name)))]


def put(values: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value at a path."""
    if not path:
        return new
    changed = copy.deepcopy(values)
    inside = changed
    for name in path[:-1]:
        inside = inside[name]
    inside[path[-1]] = new
    return changed


def write(folder: Path, content: Any) -> str:
    path = folder / "figures.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return str(path)


def test_a_good_file_is_read_unchanged(tmp_path: Path) -> None:
    found = read_figures(write(tmp_path, FIGURES))
    assert found.to_dict() == FIGURES["measured"]
    assert measured_of(FIGURES["measured"]) == found


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("format",), "other", "its format is not osteolite-bench-figures"),
        (("version",), 2, "its version is not 1"),
        (("version",), True, "its version is not 1"),
        (("more",), 1, "the file has a field 'more'; allowed are format, measured, version"),
        (("measured",), [], "measured is not an object"),
        (("measured", "device"), "local", "its device is not browser"),
        (("measured", "lanes"), [], "lanes is empty"),
        (("measured", "lanes"), [CASE] * 201, "201 entries; at most 200 are allowed"),
        (("measured", "labels"), [1], "labels is not empty"),
        (("measured", "conditions", "machine"), "a\x1b[31mb", "conditions.machine is not a line of at most"),
        (("measured", "conditions", "machine"), "\ud800", "conditions.machine is not a line of at most"),
        (("measured", "conditions", "system"), "x" * 501, "conditions.system is not a line of at most 500"),
        (("measured", "conditions", "during"), {}, "conditions has a field 'during'"),
        (("measured", "conditions", "\x1b"), 1, r"conditions has a field '\x1b'"),
        (("measured", "conditions", "before"), {"throttled": 1}, "conditions.before has a field 'throttled'"),
        (("measured", "conditions", "cores"), 0, "conditions.cores is not a whole number of 1 or more"),
        (("measured", "lanes", 0, "bytes"), -1, "lanes[0].bytes is not a whole number of 0 or more"),
        (("measured", "lanes", 0, "bytes"), 10**400, "lanes[0].bytes is not a whole number of 0 or more"),
        (("measured", "lanes", 0, "threads"), 1.5, "lanes[0].threads is not a whole number of 1 or more"),
        (("measured", "lanes", 0, "error"), "why", "lanes[0] needs a file, an engine, and either launches or an error"),
        (("measured", "lanes", 1, "error"), "", "lanes[1] needs a file, an engine, and either launches or an error"),
        (("measured", "lanes", 0, "probabilities"), [0.5], "lanes[0].probabilities is not empty"),
        (("measured", "lanes", 0, "launches", 1, "invoke"), [[1.0], []], "launches[1].invoke has no runs"),
        (("measured", "lanes", 0, "launches", 1, "invoke"), [[float("nan")]], "is not a number from 0"),
        (("measured", "lanes", 0, "launches", 1, "invoke"), [[-1.0]], "is not a number from 0"),
        (("measured", "lanes", 0, "launches", 1, "invoke"), [[True]], "is not a number from 0"),
        (("measured", "lanes", 0, "launches", 1, "invoke"), [[1.0] * 1001], "1001 entries; at most 1000 are allowed"),
        (("measured", "lanes", 0, "launches", 1, "invoke"), [[0, 0, 1]], "the browser's clock was too coarse"),
        (
            ("measured", "lanes", 0, "launches", 0, "cold_start"),
            {"load": float("inf")},
            "cold_start.load is not a number",
        ),
        (("measured", "lanes", 0, "launches", 0, "steady"), 1, "steady is not true or false"),
        (("measured", "lanes", 0, "launches", 0, "joules"), 1.0, "joules is not null"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(tmp_path: Path, path: tuple[Any, ...], value: Any, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_figures(write(tmp_path, put(FIGURES, path, value)))
    message = str(caught.value)
    assert says in message and "\n" not in message and "\x1b" not in message
    assert message.startswith(f"{tmp_path}/figures.json: ") and message.endswith(
        "that the page's link Save results saved"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"1" * 10_000, "not JSON"),
        (b"null", "the file is not an object"),
        (b" " * (8 * 2**20 + 1), "over 8 MB"),
    ],
)
def test_files_with_other_content_are_refused(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_figures(write(tmp_path, content))


@pytest.mark.parametrize("name", ["none.json", ".", "a\0b", "pipe"])
def test_a_path_without_a_regular_file_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError):
        read_figures(str(tmp_path / name))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_file_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    figures: Any = FIGURES
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places(figures)))
        figures = put(figures, place, data.draw(JSON | st.sampled_from([LAUNCH, CASE, CONDITIONS])))
    try:
        found = read_figures(write(tmp_path, figures))
    except UsageError as error:
        assert str(error).isprintable()
    else:
        json.dumps(found.to_dict(), allow_nan=False).encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    content = json.dumps(FIGURES).encode()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    try:
        read_figures(write(tmp_path, content[:start] + data.draw(st.binary(max_size=20)) + content[end:]))
    except UsageError as error:
        assert str(error).isprintable()
