"""Whether one benchmark is slower than another."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.benchmarks.analysis.compare import (
    FASTER,
    SAME,
    SLOWER,
    UNTOLD,
    Comparison,
    check,
    compare,
    notes,
    rows,
    to_dict,
)
from osteolite.benchmarks.analysis.ratio import ratio_of
from osteolite.edge.errors import Regression, UsageError

from .results_made import desktop, lane, phone, result, state

SWAPPED = {SLOWER: FASTER, FASTER: SLOWER, SAME: SAME, UNTOLD: UNTOLD}
LAUNCHES = st.lists(st.floats(0.5, 500.0), min_size=2, max_size=8)


def exp(*logs: float) -> tuple[float, ...]:
    return tuple(math.exp(value) for value in logs)


def judged(before: tuple[float, ...], after: tuple[float, ...], limit: float = 5.0, **over: Any) -> Comparison:
    """One lane before and after."""
    return compare(result([lane(launches=before)]), result([lane(launches=after, **over)]), limit)


@pytest.mark.parametrize(
    ("before", "after", "change", "half"),
    [
        # Variances 0.0004, three launches each: error sqrt(2 * 0.0004 / 3), 4 degrees of freedom, t = 2.776445.
        ((0.0, 0.02, 0.04), (0.10, 0.12, 0.14), 0.10, 2.776445 * math.sqrt(0.0008 / 3)),
        # Variances 0.0002 of two and 0.0012 of four: errors squared 0.0001 and 0.0003, and
        # 0.0004^2 / (0.0001^2 / 1 + 0.0003^2 / 3) = 4 degrees of freedom again.
        ((0.0, 0.02), (0.3, 0.3, 0.36, 0.36), 0.32, 2.776445 * 0.02),
    ],
)
def test_the_interval_is_welch_s(before: tuple, after: tuple, change: float, half: float) -> None:
    found = ratio_of(exp(*before), exp(*after))
    assert found is not None
    expected = exp(change, change - half, change + half)
    assert (found.value, found.low, found.high) == pytest.approx(expected, rel=1e-6)


def test_slower_beyond_chance_and_limit_is_a_regression() -> None:
    found = judged(exp(0, 0.02, 0.04), exp(0.10, 0.12, 0.14))
    (pair,) = found.pairs
    assert (pair.verdict, pair.regression, pair.reasons) == (SLOWER, True, ())
    assert (pair.before_ms, pair.after_ms) == pytest.approx(exp(0.02, 0.12))
    with pytest.raises(
        Regression, match=r"^int8, 1 thread: 10\.5 % slower \(5\.6 % to 15\.6 %\), allowed are 5 %; 1 of 1"
    ):
        check(found)
    titles, table = rows(found)
    assert table == [["int8", "1", "default", "1.02", "1.13", "1.105 (1.056 to 1.156)", "slower, over the limit"]]
    assert len(titles) == len(table[0])
    assert json.loads(json.dumps(to_dict(found)))["pairs"][0]["ratio"]["value"] == pytest.approx(math.exp(0.1))


@pytest.mark.parametrize(
    ("after", "limit", "verdict"),
    [
        (exp(0.10, 0.12, 0.14), 11.0, SLOWER),  # by less than the limit
        (exp(0.02, 0.06, 0.28), 5.0, SAME),  # by as much, but it varies
        (exp(0.0, 0.02, 0.04), 0.0, SAME),
        (exp(-0.10, -0.12, -0.14), 0.0, FASTER),
    ],
)
def test_what_is_no_regression(after: tuple[float, ...], limit: float, verdict: str) -> None:
    found = judged(exp(0, 0.02, 0.04), after, limit)
    assert (found.pairs[0].verdict, found.pairs[0].regression) == (verdict, False)
    check(found)


def test_the_worst_of_several_is_named() -> None:
    before = [lane(name, launches=exp(0, 0.01, 0.02)) for name in ("int8", "float32", "float16")]
    after = [
        lane("int8", launches=exp(0.10, 0.11, 0.12)),
        lane("float32", launches=exp(0.30, 0.31, 0.32)),
        lane("float16", launches=exp(0, 0.01, 0.02)),
    ]
    with pytest.raises(Regression, match=r"^float32, .*; 2 of 3 results"):
        check(compare(result(before), result(after), 5))


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ((5.0,), (9.0, 9.1, 9.2), "fewer than 2 launches"),
        ((5.0, 5.0, 5.0), (9.0, 9.0, 9.0), "times without any spread, as of a clock that is too coarse"),
        ((), (9.0, 9.1, 9.2), "no time that can be compared"),
        ((0.0, 0.1, 0.1), (9.0, 9.1, 9.2), "no time that can be compared"),
    ],
)
def test_what_cannot_be_told(before: tuple[float, ...], after: tuple[float, ...], reason: str) -> None:
    one = lane(launches=tuple(max(value, 0.05) for value in before))
    if one["milliseconds"]["invoke"]:
        one["milliseconds"]["invoke"]["launches"] = list(before)
    found = compare(result([one]), result([lane(launches=after)]), 5)
    (pair,) = found.pairs
    assert (pair.verdict, pair.regression, pair.reasons) == (UNTOLD, False, (reason,))
    with pytest.raises(UsageError, match=f"of none of 1 results .*{reason}"):
        check(found)


def test_a_device_that_tells_no_launches_still_has_a_ratio() -> None:
    sides = [lane(launches=(5.0,)), lane(launches=(6.0,))]
    for one in sides:
        one["milliseconds"]["invoke"]["launches"] = []
    (pair,) = compare(result(sides[:1]), result(sides[1:]), 5).pairs
    assert pair.ratio is not None
    assert (pair.ratio.value, pair.ratio.low, pair.verdict) == (pytest.approx(1.2), None, UNTOLD)


def test_a_result_that_is_not_valid_gives_no_regression_and_says_why() -> None:
    over = {"valid": False, "reasons": ["not quiet: a backup ran", "throttled: hot"]}
    slow = [lane("int8", launches=(9.0, 9.1, 9.2), **over), lane("float32")]
    fine = [lane("int8"), lane("float32")]
    found = compare(result(fine), result(slow), 5)
    assert found.pairs[0].verdict == UNTOLD
    assert found.pairs[0].reasons == ("after: not quiet: a backup ran", "after: throttled: hot")
    assert found.pairs[0].ratio is not None
    check(found)
    assert compare(result(slow), result(fine), 5).pairs[0].reasons[0] == "before: not quiet: a backup ran"
    assert judged((5.0, 5.1), (9.0, 9.1), valid=False).pairs[0].reasons == ("after: not valid",)


def test_changes_of_size_memory_and_auroc_are_reported() -> None:
    (pair,) = judged((5.0, 5.1), (5.0, 5.1), bytes=2_740_000, peak_mb=97.4, auroc=0.91512).pairs
    assert (pair.bytes, pair.peak_mb, pair.auroc) == (10_000, 1.5, -0.005)
    (pair,) = judged((5.0, 5.1), (5.0, 5.1), peak_mb=None, auroc=None).pairs
    assert (pair.peak_mb, pair.auroc) == (None, None)


def test_notes_say_what_the_table_does_not() -> None:
    before = [lane("int8", launches=(5.0, 5.1)), lane("float32", launches=(5.0,)), lane("dynamic")]
    after = [lane("int8", launches=(5.0, 5.1), bytes=2_740_000, peak_mb=97.4, auroc=0.91512), lane("float32")]
    assert notes(compare(result(before), result(after, cores=4), 5)) == [
        "warning: cores: 2 before, 4 after",
        "int8, 1 thread: +10,000 bytes, +1.5 MB of peak memory, AUROC -0.0050",
        "float32, 1 thread: cannot be told: fewer than 2 launches",
        "dynamic, 1 thread, only before",
    ]
    assert notes(compare(result(before[:1]), result(before[:1]), 5)) == []


def names(found: Comparison) -> list[tuple[str, int]]:
    return [(pair.name, pair.threads) for pair in found.pairs]


def test_lanes_are_matched_by_what_they_are() -> None:
    asked = lane()["delegate"] | {"asked": "gpu"}
    lanes = [
        lane("int8", 1, (1.0, 1.1)),
        lane("int8", 2, (2.0, 2.1)),
        lane("int8", 1, (3.0, 3.1), engine="onnxruntime"),
        lane("int8", 1, (4.0, 4.1), delegate=asked),
        lane("int8", 1, (5.0, 5.1), file="other.tflite"),
    ]
    found = compare(result(lanes[::-1]), result(lanes), 5)
    assert [pair.before_ms for pair in found.pairs] == [pair.after_ms for pair in found.pairs]
    assert len(found.pairs) == 5
    assert found.unmatched == ()


def test_a_new_file_is_matched_by_its_variant() -> None:
    old, new = lane("int8", file="v1_int8.tflite"), lane("int8", launches=(8.0, 8.1, 8.2), file="v2_int8.tflite")
    found = compare(result([old, lane("float32")]), result([new, lane("float16")]), 5)
    assert names(found) == [("int8", 1)]
    assert found.pairs[0].regression
    assert found.unmatched == ("float32, 1 thread, only before", "float16, 1 thread, only after")


def test_a_file_of_both_is_never_taken_for_another_of_its_variant() -> None:
    before = [lane("int8", 1, file="a.tflite"), lane("int8", 1, file="b.tflite")]
    after = [lane("int8", 1, file="c.tflite"), lane("int8", 2, file="a.tflite")]
    found = compare(result(before), result(after), 5)
    assert names(found) == [("c", 1)]
    assert found.unmatched == ("a, 1 thread, only before", "a, 2 threads, only after")


def test_which_of_two_files_of_one_variant_is_meant_is_not_guessed() -> None:
    before = [lane("int8", file="a.tflite"), lane("int8", file="b.tflite"), lane("float32")]
    found = compare(result(before), result([lane("int8", file="c.tflite"), lane("float32")]), 5)
    assert names(found) == [("float32", 1)]
    unnamed = [lane("", file="a.tflite")], [lane("", file="b.tflite")]
    with pytest.raises(UsageError, match="nothing to compare"):
        compare(result(unnamed[0]), result(unnamed[1]), 5)


def test_what_was_measured_twice_is_matched_in_order() -> None:
    before = [lane(launches=(5.0, 5.1)), lane(launches=(7.0, 7.1))]
    found = compare(result(before), result([*before, lane(launches=(9.0, 9.1))]), 5)
    assert [pair.verdict for pair in found.pairs] == [SAME, SAME]
    assert found.unmatched == ("int8, 1 thread, only after",)


def test_nothing_in_common_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match=r"nothing to compare: .* \(1 on local before, 1 on adb after\)"):
        compare(result([lane()]), result([lane()], device="adb"), 5)
    with pytest.raises(UsageError, match="nothing to compare"):
        compare(result([]), result([lane()]), 5)


@pytest.mark.parametrize("limit", [-1.0, math.nan, math.inf])
def test_a_limit_is_a_percentage(limit: float) -> None:
    with pytest.raises(UsageError, match="--limit"):
        compare(result([lane()]), result([lane()]), limit)


def test_other_conditions_are_warned_of() -> None:
    before = result([lane()])
    assert compare(before, before, 5).warnings == ()
    after = result(
        [lane(runtime="ai-edge-litert 2.4.0")],
        machine="AMD EPYC",
        cores=64,
        before=state(governor="powersave"),
        after=state(governor="performance", on_battery=True, temperature_c=99.0),
    )
    after["images"] = 0
    assert compare(before, after, 5).warnings == (
        "machine: Intel(R) Xeon(R) CPU @ 2.50GHz before, AMD EPYC after",
        "cores: 2 before, 64 after",
        "governor: performance before, powersave to performance after",
        "runtime: ai-edge-litert 2.3.0 before, ai-edge-litert 2.4.0 after",
        "images: 580 before, unknown after",
        "on battery after, where the clock may be lowered",
    )


def test_a_device_that_tells_little_is_compared() -> None:
    found = compare(phone(), phone(), 5)
    assert len(found.pairs) == 26
    assert {pair.verdict for pair in found.pairs} == {SAME}
    assert found.warnings == tuple(f"on battery {side}, where the clock may be lowered" for side in ("before", "after"))


@given(LAUNCHES, LAUNCHES, st.floats(0, 50))
def test_swapping_inverts_ratio_and_verdict(before: list[float], after: list[float], limit: float) -> None:
    (there,), (back,) = (
        judged(tuple(first), tuple(second), limit).pairs for first, second in ((before, after), (after, before))
    )
    assert back.verdict == SWAPPED[there.verdict]
    assert there.ratio and back.ratio
    assert back.ratio.value == pytest.approx(1 / there.ratio.value)
    if there.ratio.low and there.ratio.high:
        assert (back.ratio.low, back.ratio.high) == pytest.approx((1 / there.ratio.high, 1 / there.ratio.low))


@given(st.lists(LAUNCHES, min_size=1, max_size=4))
def test_identical_results_are_no_regression(lanes: list[list[float]]) -> None:
    found = result([lane("int8", threads, tuple(launches)) for threads, launches in enumerate(lanes, 1)])
    compared = compare(found, found, 0)
    assert {pair.verdict for pair in compared.pairs} == {SAME}
    assert not any(pair.regression for pair in compared.pairs)


@given(LAUNCHES, LAUNCHES)
def test_the_ratio_lies_inside_its_interval(before: list[float], after: list[float]) -> None:
    found = ratio_of(before, after)
    assert found is not None
    if found.low is not None and found.high is not None:
        assert found.low <= min(found.value, 1000) and found.high >= max(found.value, 0.001)


@pytest.mark.parametrize("launches", [2, 3, 5, 10])
def test_chance_alone_is_seldom_called_a_difference(launches: int) -> None:
    """Of 400 pairs from one distribution about 5 % differ, not more than 9 %."""
    random = np.random.default_rng(launches)
    drawn = np.exp(random.normal(1.6, 0.03, (400, 2, launches)))
    verdicts = [judged(tuple(one), tuple(other)).pairs[0].verdict for one, other in drawn]
    assert sum(verdict != SAME for verdict in verdicts) <= 0.09 * 400
    shifted = [judged(tuple(one), tuple(1.5 * other)).pairs[0].verdict for one, other in drawn]
    assert shifted.count(SLOWER) > (360 if launches > 2 else 200)


def test_a_whole_benchmark_against_a_slower_one() -> None:
    before, after = desktop(), desktop()
    for one in after["results"]:
        if one["variant"] == "int8":
            invoke = one["milliseconds"]["invoke"]
            invoke["launches"] = [1.3 * value for value in invoke["launches"]]
    found = compare(before, after, 5)
    assert {(pair.name, pair.threads) for pair in found.pairs if pair.regression} == {("int8", 1), ("int8", 2)}
    assert len(found.pairs) == len(before["results"])
    assert all(dataclasses.astuple(pair)[-3:] == (0, 0.0, 0.0) for pair in found.pairs)


@pytest.mark.parametrize(
    ("machine", "verdict", "regression"),
    [(1.0, SLOWER, True), (1.02, SLOWER, True), (1.2, SAME, False), (0.8, SLOWER, True)],
)
def test_what_a_slow_hour_of_the_machine_explains_is_not_the_files(
    machine: float, verdict: str, regression: bool
) -> None:
    """The file takes 1.105 times as long, known from 1.056 to 1.156."""
    before = result([lane(launches=exp(0, 0.02, 0.04))], during={"yardstick_ms": 5.0})
    after = result([lane(launches=exp(0.10, 0.12, 0.14))], during={"yardstick_ms": 5.0 * machine})
    found = compare(before, after, 5)
    assert (found.pairs[0].verdict, found.pairs[0].regression) == (verdict, regression)
    assert any("the machine itself" in warning for warning in found.warnings) == (abs(machine - 1) > 0.03)


def test_a_benchmark_without_the_yardstick_is_compared_as_it_is() -> None:
    before = result([lane(launches=exp(0, 0.02, 0.04))], during={"yardstick_ms": None})
    after = result([lane(launches=exp(0.10, 0.12, 0.14))], during={"yardstick_ms": 9.0})
    assert compare(before, after, 5).pairs[0].verdict == SLOWER
