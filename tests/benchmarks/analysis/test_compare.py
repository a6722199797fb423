"""Verdicts on whether one benchmark is slower than another."""

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
    UNDECIDED,
    Comparison,
    check,
    compare,
    notes,
    rows,
    to_dict,
)
from osteolite.edge.errors import Regression, UsageError

from ..results_made import desktop, entry, phone, result, state

SWAPPED = {SLOWER: FASTER, FASTER: SLOWER, SAME: SAME, UNDECIDED: UNDECIDED}
LAUNCHES = st.lists(st.floats(0.5, 500.0), min_size=2, max_size=8)


def exp(*logs: float) -> tuple[float, ...]:
    return tuple(math.exp(value) for value in logs)


def judged(before: tuple[float, ...], after: tuple[float, ...], limit: float = 5.0, **over: Any) -> Comparison:
    """Compare one result before and after."""
    return compare(result([entry(launches=before)]), result([entry(launches=after, **over)]), limit)


def test_slower_beyond_chance_and_limit_is_a_regression() -> None:
    found = judged(exp(0, 0.02, 0.04), exp(0.10, 0.12, 0.14))
    (pair,) = found.pairs
    assert (pair.verdict, pair.regression, pair.reasons) == (SLOWER, True, ())
    assert (pair.before_ms, pair.after_ms) == pytest.approx(exp(0.02, 0.12))
    with pytest.raises(
        Regression, match=r"^int8, 1 thread: 10\.5 % slower \(5\.6 % to 15\.6 %\), 5 % is allowed; 1 of 1"
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
def test_a_small_or_uncertain_slowdown_is_no_regression(after: tuple[float, ...], limit: float, verdict: str) -> None:
    found = judged(exp(0, 0.02, 0.04), after, limit)
    assert (found.pairs[0].verdict, found.pairs[0].regression) == (verdict, False)
    check(found)


def test_the_worst_of_several_is_named() -> None:
    before = [entry(name, launches=exp(0, 0.01, 0.02)) for name in ("int8", "float32", "float16")]
    after = [
        entry("int8", launches=exp(0.10, 0.11, 0.12)),
        entry("float32", launches=exp(0.30, 0.31, 0.32)),
        entry("float16", launches=exp(0, 0.01, 0.02)),
    ]
    with pytest.raises(Regression, match=r"^float32, .*; 2 of 3 results"):
        check(compare(result(before), result(after), 5))


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ((5.0,), (9.0, 9.1, 9.2), "fewer than 2 launches"),
        ((5.0, 5.0, 5.0), (9.0, 9.0, 9.0), "all times are equal: the clock may be too coarse"),
        ((), (9.0, 9.1, 9.2), "no times to compare"),
        ((0.0, 0.1, 0.1), (9.0, 9.1, 9.2), "no times to compare"),
    ],
)
def test_results_without_usable_times_are_undecided(
    before: tuple[float, ...], after: tuple[float, ...], reason: str
) -> None:
    one = entry(launches=tuple(max(value, 0.05) for value in before))
    if one["milliseconds"]["invoke"]:
        one["milliseconds"]["invoke"]["launches"] = list(before)
    found = compare(result([one]), result([entry(launches=after)]), 5)
    (pair,) = found.pairs
    assert (pair.verdict, pair.regression, pair.reasons) == (UNDECIDED, False, (reason,))
    with pytest.raises(UsageError, match=f"all 1 results are undecided .*{reason}"):
        check(found)


def test_a_device_without_launches_has_a_ratio_but_no_verdict() -> None:
    sides = [entry(launches=(5.0,)), entry(launches=(6.0,))]
    for one in sides:
        one["milliseconds"]["invoke"]["launches"] = []
    (pair,) = compare(result(sides[:1]), result(sides[1:]), 5).pairs
    assert pair.ratio is not None
    assert pair.ratio.value == pytest.approx(1.2)
    assert (pair.ratio.low, pair.verdict) == (None, UNDECIDED)


def test_a_result_that_is_not_valid_is_undecided() -> None:
    over: dict[str, Any] = {"valid": False, "reasons": ["not quiet: a backup ran", "throttled: hot"]}
    slow = [entry("int8", launches=(9.0, 9.1, 9.2), **over), entry("float32")]
    fine = [entry("int8"), entry("float32")]
    found = compare(result(fine), result(slow), 5)
    assert found.pairs[0].verdict == UNDECIDED
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


def test_notes_add_what_the_table_lacks() -> None:
    before = [entry("int8", launches=(5.0, 5.1)), entry("float32", launches=(5.0,)), entry("dynamic")]
    after = [entry("int8", launches=(5.0, 5.1), bytes=2_740_000, peak_mb=97.4, auroc=0.91512), entry("float32")]
    assert notes(compare(result(before), result(after, cores=4), 5)) == [
        "warning: cores: 2 before, 4 after",
        "int8, 1 thread: +10,000 bytes, +1.5 MB of peak memory, AUROC -0.0050",
        "float32, 1 thread: undecided: fewer than 2 launches",
        "dynamic, 1 thread, only before",
    ]
    assert notes(compare(result(before[:1]), result(before[:1]), 5)) == []


@pytest.mark.parametrize("limit", [-1.0, math.nan, math.inf])
def test_a_limit_that_is_no_percentage_is_refused(limit: float) -> None:
    with pytest.raises(UsageError, match="--limit"):
        compare(result([entry()]), result([entry()]), limit)


def test_different_conditions_cause_warnings() -> None:
    before = result([entry()])
    assert compare(before, before, 5).warnings == ()
    after = result(
        [entry(runtime="ai-edge-litert 2.4.0")],
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
        "on battery after: the clock may be lowered",
    )


def test_a_device_with_few_values_is_compared() -> None:
    found = compare(phone(), phone(), 5)
    assert len(found.pairs) == 26
    assert {pair.verdict for pair in found.pairs} == {SAME}
    assert found.warnings == tuple(f"on battery {side}: the clock may be lowered" for side in ("before", "after"))


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
def test_identical_results_are_no_regression(entries: list[list[float]]) -> None:
    found = result([entry("int8", threads, tuple(launches)) for threads, launches in enumerate(entries, 1)])
    compared = compare(found, found, 0)
    assert {pair.verdict for pair in compared.pairs} == {SAME}
    assert not any(pair.regression for pair in compared.pairs)


@pytest.mark.parametrize("launches", [2, 3, 5, 10])
def test_chance_alone_is_rarely_called_a_difference(launches: int) -> None:
    """Of 400 pairs from one distribution, about 5 % differ and at most 9 %."""
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
def test_a_slowdown_of_the_machine_is_not_attributed_to_the_files(
    machine: float, verdict: str, regression: bool
) -> None:
    """The ratio is 1.105, with an interval from 1.056 to 1.156."""
    before = result([entry(launches=exp(0, 0.02, 0.04))], during={"yardstick_ms": 5.0})
    after = result([entry(launches=exp(0.10, 0.12, 0.14))], during={"yardstick_ms": 5.0 * machine})
    found = compare(before, after, 5)
    assert (found.pairs[0].verdict, found.pairs[0].regression) == (verdict, regression)
    assert any("the machine itself" in warning for warning in found.warnings) == (abs(machine - 1) > 0.03)


def test_without_a_yardstick_the_times_are_compared_directly() -> None:
    before = result([entry(launches=exp(0, 0.02, 0.04))], during={"yardstick_ms": None})
    after = result([entry(launches=exp(0.10, 0.12, 0.14))], during={"yardstick_ms": 9.0})
    assert compare(before, after, 5).pairs[0].verdict == SLOWER
