"""Reading result files that anybody may have written."""

import json
from pathlib import Path
from typing import Any

import pytest

from osteolite.benchmarks.analysis import results_file
from osteolite.benchmarks.analysis.results_file import find_results, lane_names, read_results
from osteolite.edge.errors import UsageError

from .results_made import desktop, lane, phone, realistic, result


def written(path: Path, found: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(found if isinstance(found, str) else json.dumps(found))
    return str(path)


@pytest.mark.parametrize("found", [desktop(), phone(), result([])], ids=["desktop", "phone", "nothing"])
def test_a_file_is_read_as_it_was_written(tmp_path: Path, found: dict) -> None:
    file = written(tmp_path / "benchmark.json", found)
    assert read_results(file) == read_results(str(tmp_path)) == json.loads(json.dumps(found))


def without(*path: str | int) -> dict:
    """A result that lacks one field."""
    found = inner = result([lane()])
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return found


def with_lane(**over: Any) -> dict:
    return result([lane(**over)])


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"schema": NaN}', "not JSON"),
        ('{"schema": 1e999}', "not JSON"),
        ('{"schema": 2' + "0" * 400 + "}", "not JSON"),
        ("[]", "no result of a benchmark"),
        ("{}", "no result of a benchmark"),
        ({"schema": 1, "results": []}, "schema 1 is of an older version.*measure again"),
        ({"schema": 3}, "schema 3 is of another version"),
        ({"schema": "2"}, "schema 2 is of another version"),
        (without("conditions"), "the result has no conditions"),
        (without("results", 0, "milliseconds"), r"results\[0\] has no milliseconds"),
        (without("results", 0, "milliseconds", "invoke", "p50"), r"results\[0\]\.milliseconds\.invoke has no p50"),
        (with_lane(threads="2"), r"results\[0\]\.threads is no int"),
        (with_lane(threads=True), r"results\[0\]\.threads is no int"),
        (with_lane(valid=1), r"results\[0\]\.valid is no bool"),
        (with_lane(reasons="hot"), r"results\[0\]\.reasons is no list"),
        (with_lane(auroc="high"), r"results\[0\]\.auroc is no float"),
        (with_lane(delegate=None), r"results\[0\]\.delegate is no object"),
        (with_lane(launches=()) | {"images": None}, "images is no int"),
        (result([lane()], before={"throttled": "yes"}), r"conditions\.before\.throttled is no list"),
        (result([lane()], load_average=["high"]), r"conditions\.load_average\[0\] is no float"),
    ],
)
def test_what_is_no_result_is_refused_in_one_line(tmp_path: Path, found: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        read_results(written(tmp_path / "benchmark.json", found))
    assert "\n" not in str(raised.value)


def test_an_interval_has_two_ends(tmp_path: Path) -> None:
    found = result([lane()])
    found["results"][0]["milliseconds"]["invoke"]["intervals"]["p50"] = [1.0]
    with pytest.raises(UsageError, match=r"intervals\.p50 is no list of 2"):
        read_results(written(tmp_path / "benchmark.json", found))


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"benchmark\.json: cannot be read \(No such file"):
        read_results(str(tmp_path))
    with pytest.raises(UsageError, match="not a folder"):
        find_results(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="no results below it"):
        find_results(str(tmp_path))


def test_what_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = written(tmp_path / "many.json", result([lane()] * 501))
    with pytest.raises(UsageError, match="501 results, at most 500"):
        read_results(many)
    monkeypatch.setattr(results_file, "_MOST_BYTES", 1000)
    with pytest.raises(UsageError, match="which no result of a benchmark is"):
        read_results(many)


def test_control_characters_do_not_reach_a_terminal(tmp_path: Path) -> None:
    hidden = "a\x1b[31mb\u202ec\ud800d\ne\xa0f"
    file = written(tmp_path / "benchmark.json", result([lane(file=hidden, reasons=[hidden])], **{hidden: hidden}))
    found = read_results(file)
    shown = "a\ufffd[31mb\ufffdc\ufffdd e f"
    assert found["results"][0]["file"] == found["results"][0]["reasons"][0] == shown
    assert found["conditions"][shown] == shown


def test_results_are_found_below_a_folder_among_other_files(tmp_path: Path) -> None:
    for name, found in realistic().items():
        written(tmp_path / name, found)
    written(tmp_path / "laptop.json", result([lane()]))
    written(tmp_path / "conversion.json", {"variants": []})
    written(tmp_path / "other.json", {"schema": 2, "images": 5})
    written(tmp_path / "broken.json", "{")
    written(tmp_path / "old.json", {"schema": 1, "device": "local", "results": []})
    found = find_results(str(tmp_path))
    assert list(found) == ["desktop/benchmark.json", "laptop.json", "phone/benchmark.json", "pi4/benchmark.json"]
    assert found["laptop.json"]["results"][0]["variant"] == "int8"


@pytest.mark.parametrize("found", ["{", {"schema": 1}])
def test_a_benchmark_that_cannot_be_read_is_not_passed_over(tmp_path: Path, found: Any) -> None:
    written(tmp_path / "good" / "benchmark.json", result([lane()]))
    written(tmp_path / "bad" / "benchmark.json", found)
    with pytest.raises(UsageError, match=r"bad/benchmark\.json"):
        find_results(str(tmp_path))


def test_names_tell_lanes_apart() -> None:
    alone = [lane("int8"), lane("float32"), lane("float32", engine="onnxruntime")]
    assert lane_names(alone) == ["int8", "float32", "float32 · onnxruntime"]
    assert lane_names([lane("int8", file="a.tflite"), lane("int8", file="b.tflite")]) == ["a", "b"]
    assert lane_names([lane("", file="a.tflite")]) == ["a"]
    asked = [lane(delegate=lane()["delegate"] | {"asked": name}) for name in ("cpu", "/usr/lib/vendor.so")]
    assert lane_names(asked) == ["int8 · cpu", "int8 · vendor.so"]
