"""Which results of two benchmarks are compared with each other."""

import pytest

from osteolite.benchmarks.analysis.compare import SAME, Comparison, compare
from osteolite.edge.errors import UsageError

from ..results_made import entry, result


def names(found: Comparison) -> list[tuple[str, int]]:
    return [(pair.name, pair.threads) for pair in found.pairs]


def test_results_are_matched_by_file_threads_engine_and_delegate() -> None:
    gpu = entry()["delegate"] | {"asked": "gpu"}
    entries = [
        entry("int8", 1, (1.0, 1.1)),
        entry("int8", 2, (2.0, 2.1)),
        entry("int8", 1, (3.0, 3.1), engine="onnxruntime"),
        entry("int8", 1, (4.0, 4.1), delegate=gpu),
        entry("int8", 1, (5.0, 5.1), file="other.tflite"),
    ]
    found = compare(result(entries[::-1]), result(entries), 5)
    assert [pair.before_ms for pair in found.pairs] == [pair.after_ms for pair in found.pairs]
    assert len(found.pairs) == 5
    assert found.unmatched == ()


def test_a_new_file_is_matched_by_its_variant() -> None:
    old, new = entry("int8", file="v1_int8.tflite"), entry("int8", launches=(8.0, 8.1, 8.2), file="v2_int8.tflite")
    found = compare(result([old, entry("float32")]), result([new, entry("float16")]), 5)
    assert names(found) == [("int8", 1)]
    assert found.pairs[0].regression
    assert found.unmatched == ("float32, 1 thread, only before", "float16, 1 thread, only after")


def test_a_file_in_both_is_matched_only_by_its_name() -> None:
    before = [entry("int8", 1, file="a.tflite"), entry("int8", 1, file="b.tflite")]
    after = [entry("int8", 1, file="c.tflite"), entry("int8", 2, file="a.tflite")]
    found = compare(result(before), result(after), 5)
    assert names(found) == [("c", 1)]
    assert found.unmatched == ("a, 1 thread, only before", "a, 2 threads, only after")


def test_several_files_of_one_variant_are_not_matched_by_variant() -> None:
    before = [entry("int8", file="a.tflite"), entry("int8", file="b.tflite"), entry("float32")]
    found = compare(result(before), result([entry("int8", file="c.tflite"), entry("float32")]), 5)
    assert names(found) == [("float32", 1)]
    unnamed = [entry("", file="a.tflite")], [entry("", file="b.tflite")]
    with pytest.raises(UsageError, match="nothing to compare"):
        compare(result(unnamed[0]), result(unnamed[1]), 5)


def test_repeated_measurements_are_matched_in_order() -> None:
    before = [entry(launches=(5.0, 5.1)), entry(launches=(7.0, 7.1))]
    found = compare(result(before), result([*before, entry(launches=(9.0, 9.1))]), 5)
    assert [pair.verdict for pair in found.pairs] == [SAME, SAME]
    assert found.unmatched == ("int8, 1 thread, only after",)


def test_benchmarks_without_common_results_are_refused() -> None:
    with pytest.raises(UsageError, match=r"nothing to compare: .* \(1 on local before, 1 on adb after\)"):
        compare(result([entry()]), result([entry()], device="adb"), 5)
    with pytest.raises(UsageError, match="nothing to compare"):
        compare(result([]), result([entry()]), 5)
