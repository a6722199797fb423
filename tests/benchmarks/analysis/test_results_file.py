"""Reading and checking result files, which may come from anybody."""

import json
from pathlib import Path
from typing import Any

import pytest

from osteolite.benchmarks.analysis.compare import SAME, UNDECIDED, compare
from osteolite.benchmarks.analysis.results_file import find_results, read_results, result_names
from osteolite.benchmarks.published.results import RESULTS
from osteolite.edge.errors import UsageError

from ..results_made import Result, desktop, entry, phone, realistic, result


def written(path: Path, found: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(found if isinstance(found, str) else json.dumps(found))
    return str(path)


@pytest.mark.parametrize("found", [desktop(), phone(), result([])], ids=["desktop", "phone", "nothing"])
def test_a_file_is_read_unchanged(tmp_path: Path, found: Result) -> None:
    file = written(tmp_path / "benchmark.json", found)
    assert read_results(file) == read_results(str(tmp_path)) == json.loads(json.dumps(found))


def without(*path: str | int) -> Result:
    """A file that lacks one field."""
    found = result([entry()])
    inner: Any = found
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return found


def with_entry(**over: Any) -> Result:
    return result([entry(**over)])


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"schema": NaN}', "not JSON"),
        ('{"schema": 1e999}', "not JSON"),
        ('{"schema": 2' + "0" * 400 + "}", "not JSON"),
        ("[]", "not a benchmark result"),
        ("{}", "not a benchmark result"),
        ({"schema": 1, "results": []}, "schema 1 is from an older version.*measure again"),
        ({"schema": 3}, "schema 3 is from another version"),
        ({"schema": "2"}, "schema 2 is from another version"),
        (without("conditions"), "the result has no conditions"),
        (without("results", 0, "milliseconds"), r"results\[0\] has no milliseconds"),
        (without("results", 0, "milliseconds", "invoke", "p50"), r"results\[0\]\.milliseconds\.invoke has no p50"),
        (with_entry(threads="2"), r"results\[0\]\.threads is not of type int"),
        (with_entry(threads=True), r"results\[0\]\.threads is not of type int"),
        (with_entry(valid=1), r"results\[0\]\.valid is not of type bool"),
        (with_entry(reasons="hot"), r"results\[0\]\.reasons is not a list"),
        (with_entry(auroc="high"), r"results\[0\]\.auroc is not of type float"),
        (with_entry(delegate=None), r"results\[0\]\.delegate is not an object"),
        (with_entry(launches=()) | {"images": None}, "images is not of type int"),
        (result([entry()], before={"throttled": "yes"}), r"conditions\.before\.throttled is not a list"),
        (result([entry()], load_average=["high"]), r"conditions\.load_average\[0\] is not of type float"),
    ],
)
def test_other_content_is_refused_in_one_line(tmp_path: Path, found: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        read_results(written(tmp_path / "benchmark.json", found))
    assert "\n" not in str(raised.value)


def test_an_interval_has_two_ends(tmp_path: Path) -> None:
    found = result([entry()])
    found["results"][0]["milliseconds"]["invoke"]["intervals"]["p50"] = [1.0]
    with pytest.raises(UsageError, match=r"intervals\.p50 is not a list of 2"):
        read_results(written(tmp_path / "benchmark.json", found))


def test_missing_files_and_folders_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"benchmark\.json: cannot be read \(No such file"):
        read_results(str(tmp_path))
    with pytest.raises(UsageError, match="not a folder"):
        find_results(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="no results below it"):
        find_results(str(tmp_path))


def test_files_that_are_too_large_are_refused(tmp_path: Path) -> None:
    many = written(tmp_path / "many.json", result([entry()] * 501))
    with pytest.raises(UsageError, match="501 results, at most 500"):
        read_results(many)
    with pytest.raises(UsageError, match="too large for a benchmark result"):
        read_results(many, most_bytes=1000)


def test_control_characters_are_replaced(tmp_path: Path) -> None:
    hidden = "a\x1b[31mb\u202ec\ud800d\ne\xa0f"
    file = written(tmp_path / "benchmark.json", result([entry(file=hidden, reasons=[hidden])], **{hidden: hidden}))
    found = read_results(file)
    shown = "a\ufffd[31mb\ufffdc\ufffdd e f"
    assert found["results"][0]["file"] == found["results"][0]["reasons"][0] == shown
    assert found["conditions"][shown] == shown


def test_find_results_passes_over_other_files(tmp_path: Path) -> None:
    for name, found in realistic().items():
        written(tmp_path / name, found)
    written(tmp_path / "laptop.json", result([entry()]))
    written(tmp_path / "conversion.json", {"variants": []})
    written(tmp_path / "other.json", {"schema": 2, "images": 5})
    written(tmp_path / "broken.json", "{")
    written(tmp_path / "old.json", {"schema": 1, "device": "local", "results": []})
    found = find_results(str(tmp_path))
    assert list(found) == ["desktop/benchmark.json", "laptop.json", "phone/benchmark.json", "pi4/benchmark.json"]
    assert found["laptop.json"]["results"][0]["variant"] == "int8"


@pytest.mark.parametrize("found", ["{", {"schema": 1}])
def test_find_results_refuses_an_unreadable_benchmark(tmp_path: Path, found: Any) -> None:
    written(tmp_path / "good" / "benchmark.json", result([entry()]))
    written(tmp_path / "bad" / "benchmark.json", found)
    with pytest.raises(UsageError, match=r"bad/benchmark\.json"):
        find_results(str(tmp_path))


def test_result_names_are_distinct() -> None:
    alone = [entry("int8"), entry("float32"), entry("float32", engine="onnxruntime")]
    assert result_names(alone) == ["int8", "float32", "float32 · onnxruntime"]
    assert result_names([entry("int8", file="a.tflite"), entry("int8", file="b.tflite")]) == ["a", "b"]
    assert result_names([entry("", file="a.tflite")]) == ["a"]
    asked = [entry(delegate=entry()["delegate"] | {"asked": name}) for name in ("cpu", "/usr/lib/vendor.so")]
    assert result_names(asked) == ["int8 · cpu", "int8 · vendor.so"]


def test_the_published_results_are_read() -> None:
    found = find_results(str(RESULTS))
    assert {name.rpartition("/")[2] for name in found} >= {"benchmark.json", "peers.json", "int16x8.json"}
    for one in found.values():
        assert one["results"]
        assert all(result_names(one["results"]))
        assert {pair.verdict for pair in compare(one, one, 0).pairs} <= {SAME, UNDECIDED}
