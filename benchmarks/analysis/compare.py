"""Decide for each result whether one benchmark is slower than another.

The samples are launches, not runs: two launches of a file differ more than two runs of one launch.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from osteolite.edge.errors import Regression, UsageError

from .ratio import Ratio, ratio_of
from .results_file import result_names

SLOWER, FASTER, SAME, UNDECIDED = "slower", "faster", "no difference shown", "undecided"
_NOTABLE = 1.03  # change of the machine's own speed that causes a warning
_COLUMNS = ["variant", "threads", "delegate", "before ms", "after ms", "ratio (95 % interval)", "verdict"]

Result = dict[str, Any]  # an entry of "results", see `summary`
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Pair:
    """A result of both benchmarks. Changes are after minus before; None if either is unknown."""

    name: str  # in the newer benchmark
    threads: int
    delegate: str  # as requested
    before_ms: float | None  # p50 of an invocation
    after_ms: float | None
    ratio: Ratio | None  # of the geometric means of the launches' p50; of the p50 if there are no launches
    verdict: str
    regression: bool  # slower by more than the limit
    reasons: tuple[str, ...]  # why the verdict is undecided
    bytes: int  # change of the file's size
    peak_mb: float | None  # change, MiB
    auroc: float | None  # change


@dataclass(frozen=True)
class Comparison:
    """Two benchmarks side by side."""

    limit: float  # allowed slowdown, per cent
    pairs: tuple[Pair, ...]
    unmatched: tuple[str, ...]  # results that only one benchmark has, and which one
    warnings: tuple[str, ...]  # other possible causes of a difference than the files


def compare(before: dict[str, Any], after: dict[str, Any], limit: float) -> Comparison:
    """Compare two benchmarks, as `read_results` returns them.

    Results are matched by file, engine, threads, requested delegate and device. If only one benchmark has a file, the
    variant is matched instead. Repeated measurements are matched in order. Among results that do not differ, one in
    forty appears slower by chance, but rarely by much; the limit allows for that.

    Args:
        before: the reference.
        after: the benchmark to check.
        limit: allowed slowdown, per cent. A result is a regression if it is significantly slower, and by more than
            this.

    Raises:
        UsageError: the limit is below zero, or the benchmarks have no result in common.
    """
    if not 0 <= limit < math.inf:
        raise UsageError(f"--limit {limit:g}: give a percentage of 0 or more")
    matched, alone = _matched(before["results"], after["results"])
    if not matched:
        raise UsageError(
            "nothing to compare: no two results have the same file or variant, engine, threads, delegate and device "
            f"({_count(before)} before, {_count(after)} after); measure the same files in the same way"
        )
    names, slowdown = result_names(after["results"]), _machine_slowdown(before, after)
    return Comparison(
        limit,
        tuple(_pair(before["results"][i], after["results"][j], names[j], limit, slowdown) for i, j in matched),
        alone,
        tuple(_warnings(before, after)),
    )


def check(comparison: Comparison) -> None:
    """Check that no result became slower by more than the limit.

    Raises:
        Regression: a result did.
        UsageError: all results are undecided.
    """
    slower = [pair for pair in comparison.pairs if pair.regression]
    if slower:
        worst = max(slower, key=lambda pair: pair.ratio.value if pair.ratio else 0.0)
        assert worst.ratio is not None
        raise Regression(
            f"{worst.name}, {_threads(worst.threads)}: {_percent(worst.ratio.value)} slower "
            f"({_percent(worst.ratio.low)} to {_percent(worst.ratio.high)}), {comparison.limit:g} % is allowed; "
            f"{len(slower)} of {len(comparison.pairs)} results are slower by more than that; "
            "find what changed, or measure again on a quiet machine"
        )
    if all(pair.verdict == UNDECIDED for pair in comparison.pairs):
        first = comparison.pairs[0]
        raise UsageError(
            f"all {len(comparison.pairs)} results are undecided "
            f"({first.name}: {'; '.join(first.reasons)}); measure again"
        )


def to_dict(comparison: Comparison) -> dict[str, Any]:
    """The comparison in the form of its JSON."""
    return asdict(comparison)


def rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """The column titles and the rows of a table, in the order of the newer benchmark."""
    return _COLUMNS, [
        [
            pair.name,
            str(pair.threads),
            pair.delegate,
            *("" if ms is None else f"{ms:.2f}" for ms in (pair.before_ms, pair.after_ms)),
            _ratio_text(pair.ratio),
            f"{pair.verdict}, over the limit" if pair.regression else pair.verdict,
        ]
        for pair in comparison.pairs
    ]


def notes(comparison: Comparison) -> list[str]:
    """One line for each warning, undecided result, change other than time, and unmatched result."""
    found = [f"warning: {warning}" for warning in comparison.warnings]
    for pair in comparison.pairs:
        named = f"{pair.name}, {_threads(pair.threads)}"
        found += [f"{named}: {UNDECIDED}: {'; '.join(pair.reasons)}"] if pair.reasons else []
        found += [f"{named}: {', '.join(_changes(pair))}"] if pair.bytes or pair.auroc else []
    return found + list(comparison.unmatched)


def _changes(pair: Pair) -> list[str]:
    changes = [(pair.bytes, "{:+,} bytes"), (pair.peak_mb, "{:+.1f} MB of peak memory"), (pair.auroc, "AUROC {:+.4f}")]
    return [form.format(change) for change, form in changes if change]


def _matched(before: list[Result], after: list[Result]) -> tuple[list[tuple[int, int]], tuple[str, ...]]:
    """The positions of matching results, in the order of `after`, and the names of all others."""
    both = {one["file"] for one in before} & {one["file"] for one in after}
    keys = [_keys(side, both) for side in (before, after)]
    pairs = [(keys[0][key], index) for key, index in keys[1].items() if key in keys[0]]
    alone = []
    for side, results, taken in zip(("before", "after"), (before, after), zip(*pairs, strict=True), strict=False):
        names = result_names(results)
        left = (index for index in range(len(results)) if index not in taken)
        alone += [f"{names[index]}, {_threads(results[index]['threads'])}, only {side}" for index in left]
    return sorted(pairs, key=lambda pair: pair[1]), tuple(alone)


def _keys(results: list[Result], both: set[str]) -> dict[Key, int]:
    """The position of each result by its key; the last part of a key counts repeated measurements."""
    groups: dict[Key, list[int]] = {}
    for index, result in enumerate(results):
        by = "file" if result["file"] in both or not result["variant"] else "variant"
        key = (by, result[by], result["engine"], result["threads"], result["delegate"]["asked"] or "", result["device"])
        groups.setdefault(key, []).append(index)
    return {
        (*key, place): index
        for key, indices in groups.items()
        # With several files of one variant, it is unknown which one belongs to the other benchmark's file.
        if key[0] == "file" or len({results[index]["file"] for index in indices}) == 1
        for place, index in enumerate(indices)
    }


def _pair(before: Result, after: Result, name: str, limit: float, slowdown: float) -> Pair:
    p50s = [(result["milliseconds"]["invoke"] or {}).get("p50") for result in (before, after)]
    ratio = _ratio(before, after)
    reasons = tuple(_reasons(before, after, ratio))
    verdict = UNDECIDED if reasons else _verdict(ratio, slowdown)
    return Pair(
        name,
        after["threads"],
        after["delegate"]["asked"] or "",
        p50s[0],
        p50s[1],
        ratio,
        verdict,
        verdict == SLOWER and ratio is not None and ratio.value > (1 + limit / 100) * max(1.0, slowdown),
        reasons,
        after["bytes"] - before["bytes"],
        _change(before["peak_mb"], after["peak_mb"]),
        _change(before["auroc"], after["auroc"]),
    )


def _ratio(before: Result, after: Result) -> Ratio | None:
    invokes = [result["milliseconds"]["invoke"] or {} for result in (before, after)]
    launches = [invoke.get("launches", []) for invoke in invokes]
    if all(launches):
        return ratio_of(*launches)
    return ratio_of(*[[invoke["p50"]] if invoke.get("p50") is not None else [] for invoke in invokes])


def _reasons(before: Result, after: Result, ratio: Ratio | None) -> list[str]:
    """Why the verdict on a pair is undecided."""
    reasons = []
    for side, result in (("before", before), ("after", after)):
        if not result["valid"]:
            reasons += [f"{side}: {reason}" for reason in result["reasons"] or ["not valid"]]
    if ratio is None:
        return [*reasons, "no times to compare"]
    if ratio.low is None:
        few = min(len((result["milliseconds"]["invoke"] or {}).get("launches", [])) for result in (before, after)) < 2
        reasons.append("fewer than 2 launches" if few else "all times are equal: the clock may be too coarse")
    return reasons


def _verdict(ratio: Ratio | None, slowdown: float) -> str:
    """Judge a ratio. A difference that the machine's own change of speed explains does not count."""
    assert ratio is not None and ratio.low is not None and ratio.high is not None
    if ratio.low > max(1.0, slowdown):
        return SLOWER
    return FASTER if ratio.high < min(1.0, slowdown) else SAME


def _machine_slowdown(before: dict[str, Any], after: dict[str, Any]) -> float:
    """The ratio of the times of the fixed sum, after to before; 1 if it was not measured."""
    spent = [(found["conditions"].get("during") or {}).get("yardstick_ms") for found in (before, after)]
    known = [one for one in spent if isinstance(one, int | float) and 0 < one < math.inf]
    return known[1] / known[0] if len(known) == 2 else 1.0


def _change(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else round(after - before, 5)


def _warnings(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Differences between the conditions, and causes of an unsteady speed."""
    sides = [_conditions(side) for side in (before, after)]
    warnings = [
        f"{name}: {sides[0][name] or 'unknown'} before, {sides[1][name] or 'unknown'} after"
        for name in sides[0]
        if sides[0][name] != sides[1][name]
    ]
    slowdown = _machine_slowdown(before, after)
    if not 1 / _NOTABLE <= slowdown <= _NOTABLE:
        warnings.append(
            f"the machine itself took {slowdown:.2f} times as long for a fixed sum; "
            "a difference up to that is not attributed to the files"
        )
    for side, found in (("before", before), ("after", after)):
        if any(_states(found, "on_battery")):
            warnings.append(f"on battery {side}: the clock may be lowered")
    return warnings


def _conditions(found: dict[str, Any]) -> dict[str, str]:
    about = found["conditions"]
    machine = {name: str(about.get(name) or "") for name in ("machine", "architecture", "cores", "system")}
    runtimes = sorted({one["runtime"] or "" for one in found["results"]})
    return {
        **machine,
        "governor": " to ".join(dict.fromkeys(str(one) for one in _states(found, "governor") if one)),
        "runtime": ", ".join(filter(None, runtimes)),
        "images": str(found["images"] or ""),
    }


def _states(found: dict[str, Any], name: str) -> list[Any]:
    """A value of the machine's state before and after."""
    return [(found["conditions"].get(moment) or {}).get(name) for moment in ("before", "after")]


def _count(found: dict[str, Any]) -> str:
    return f"{len(found['results'])} on {found['device']}"


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count != 1 else ''}"


def _percent(ratio: float | None) -> str:
    return "" if ratio is None else f"{100 * (ratio - 1):.1f} %"


def _ratio_text(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio.value:.3f}" + ("" if ratio.low is None else f" ({ratio.low:.3f} to {ratio.high:.3f})")
