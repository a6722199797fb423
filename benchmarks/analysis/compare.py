"""Whether one benchmark is slower than another, lane by lane.

Launches are the sample, not runs: two launches of one file differ by more than two runs of one launch.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from osteolite.edge.errors import Regression, UsageError

from .ratio import Ratio, ratio_of
from .results_file import lane_names

SLOWER, FASTER, SAME, UNTOLD = "slower", "faster", "no difference shown", "cannot be told"
_NOTABLE = 1.03  # times that the machine's own speed may change before it is worth a word
_COLUMNS = ["variant", "threads", "delegate", "before ms", "after ms", "ratio (95 % interval)", "verdict"]

Lane = dict[str, Any]  # one of "results", see `results`
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Pair:
    """One lane of both benchmarks; changes are after less before, None where one of the two does not tell."""

    name: str  # as the newer benchmark would name it
    threads: int
    delegate: str  # asked for
    before_ms: float | None  # p50
    after_ms: float | None
    ratio: Ratio | None  # of the geometric means of the launches' p50s; of the p50s where there are no launches
    verdict: str
    regression: bool  # slower, by more than the limit
    reasons: tuple[str, ...]  # why it cannot be told
    bytes: int
    peak_mb: float | None
    auroc: float | None


@dataclass(frozen=True)
class Comparison:
    """Two benchmarks side by side."""

    limit: float  # per cent
    pairs: tuple[Pair, ...]
    unmatched: tuple[str, ...]  # lanes of one benchmark alone, and of which
    warnings: tuple[str, ...]  # what else than the files may explain a difference


def compare(before: dict[str, Any], after: dict[str, Any], limit: float) -> Comparison:
    """Compare two results, as `read_results` gives them.

    A lane is matched by its file, or by its variant where either benchmark has no such file, and by engine,
    threads, delegate asked for, and device. What was measured several times over is matched in order. Of
    many lanes without any difference, one in forty is found slower by chance, seldom by much: that is what
    the limit is for.

    Args:
        before: what to compare with.
        after: what may be slower.
        limit: per cent of the time before; a lane is a regression where it is slower beyond chance, and by
            more than this.

    Raises:
        UsageError: a limit below zero, or no lane that both have.
    """
    if not 0 <= limit < math.inf:
        raise UsageError(f"--limit {limit:g}: give a percentage of 0 or more")
    matched, alone = _matched(before["results"], after["results"])
    if not matched:
        raise UsageError(
            "nothing to compare: no result of both has the same file or variant, engine, threads, delegate and device "
            f"({_said(before)} before, {_said(after)} after); measure the same again"
        )
    names, machine = lane_names(after["results"]), _machine(before, after)
    return Comparison(
        limit,
        tuple(_pair(before["results"][i], after["results"][j], names[j], limit, machine) for i, j in matched),
        alone,
        tuple(_warnings(before, after)),
    )


def check(comparison: Comparison) -> None:
    """Return if nothing became slower by more than the limit.

    Raises:
        Regression: something did.
        UsageError: of no lane it could be told.
    """
    slower = [pair for pair in comparison.pairs if pair.regression]
    if slower:
        worst = max(slower, key=lambda pair: pair.ratio.value if pair.ratio else 0.0)
        assert worst.ratio is not None
        raise Regression(
            f"{worst.name}, {_threads(worst.threads)}: {_percent(worst.ratio.value)} slower "
            f"({_percent(worst.ratio.low)} to {_percent(worst.ratio.high)}), allowed are {comparison.limit:g} %; "
            f"{len(slower)} of {len(comparison.pairs)} results are slower by more than that; "
            "measure again on a quiet machine, or find what changed"
        )
    if all(pair.verdict == UNTOLD for pair in comparison.pairs):
        first = comparison.pairs[0]
        raise UsageError(
            f"of none of {len(comparison.pairs)} results it can be told whether it is slower "
            f"({first.name}: {'; '.join(first.reasons)}); measure again"
        )


def to_dict(comparison: Comparison) -> dict[str, Any]:
    """All of it, as JSON has it."""
    return asdict(comparison)


def rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """The titles of a table's columns and its rows, in the order of the newer benchmark."""
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
    """What the table does not say, a line each: warnings, what cannot be told, what changed beside the time."""
    found = [f"warning: {warning}" for warning in comparison.warnings]
    for pair in comparison.pairs:
        named = f"{pair.name}, {_threads(pair.threads)}"
        found += [f"{named}: {UNTOLD}: {'; '.join(pair.reasons)}"] if pair.reasons else []
        found += [f"{named}: {', '.join(_changes(pair))}"] if pair.bytes or pair.auroc else []
    return found + list(comparison.unmatched)


def _changes(pair: Pair) -> list[str]:
    told = [(pair.bytes, "{:+,} bytes"), (pair.peak_mb, "{:+.1f} MB of peak memory"), (pair.auroc, "AUROC {:+.4f}")]
    return [form.format(change) for change, form in told if change]


def _matched(before: list[Lane], after: list[Lane]) -> tuple[list[tuple[int, int]], tuple[str, ...]]:
    """Positions of what belongs together, in the order of `after`, and the names of what is left."""
    both = {one["file"] for one in before} & {one["file"] for one in after}
    keys = [_keys(side, both) for side in (before, after)]
    pairs = [(keys[0][key], index) for key, index in keys[1].items() if key in keys[0]]
    alone = []
    for side, lanes, taken in zip(("before", "after"), (before, after), zip(*pairs, strict=True), strict=False):
        names = lane_names(lanes)
        left = (index for index in range(len(lanes)) if index not in taken)
        alone += [f"{names[index]}, {_threads(lanes[index]['threads'])}, only {side}" for index in left]
    return sorted(pairs, key=lambda pair: pair[1]), tuple(alone)


def _keys(lanes: list[Lane], both: set[str]) -> dict[Key, int]:
    """The position of each lane by what it is, lastly by how many of the same came before it."""
    groups: dict[Key, list[int]] = {}
    for index, lane in enumerate(lanes):
        by = "file" if lane["file"] in both or not lane["variant"] else "variant"
        key = (by, lane[by], lane["engine"], lane["threads"], lane["delegate"]["asked"] or "", lane["device"])
        groups.setdefault(key, []).append(index)
    return {
        (*key, place): index
        for key, indices in groups.items()
        # Of several files of one variant nobody knows which is the other benchmark's.
        if key[0] == "file" or len({lanes[index]["file"] for index in indices}) == 1
        for place, index in enumerate(indices)
    }


def _pair(before: Lane, after: Lane, name: str, limit: float, machine: float) -> Pair:
    p50s = [(lane["milliseconds"]["invoke"] or {}).get("p50") for lane in (before, after)]
    ratio = _ratio(before, after)
    reasons = tuple(_reasons(before, after, ratio))
    verdict = UNTOLD if reasons else _verdict(ratio, machine)
    return Pair(
        name,
        after["threads"],
        after["delegate"]["asked"] or "",
        p50s[0],
        p50s[1],
        ratio,
        verdict,
        verdict == SLOWER and ratio is not None and ratio.value > (1 + limit / 100) * max(1.0, machine),
        reasons,
        after["bytes"] - before["bytes"],
        _change(before["peak_mb"], after["peak_mb"]),
        _change(before["auroc"], after["auroc"]),
    )


def _ratio(before: Lane, after: Lane) -> Ratio | None:
    invokes = [lane["milliseconds"]["invoke"] or {} for lane in (before, after)]
    launches = [invoke.get("launches", []) for invoke in invokes]
    if all(launches):
        return ratio_of(*launches)
    return ratio_of(*[[invoke["p50"]] if invoke.get("p50") is not None else [] for invoke in invokes])


def _reasons(before: Lane, after: Lane, ratio: Ratio | None) -> list[str]:
    """Why it cannot be told which of the two is slower."""
    reasons = []
    for side, lane in (("before", before), ("after", after)):
        if not lane["valid"]:
            reasons += [f"{side}: {reason}" for reason in lane["reasons"] or ["not valid"]]
    if ratio is None:
        return [*reasons, "no time that can be compared"]
    if ratio.low is None:
        few = min(len((lane["milliseconds"]["invoke"] or {}).get("launches", [])) for lane in (before, after)) < 2
        reasons.append("fewer than 2 launches" if few else "times without any spread, as of a clock that is too coarse")
    return reasons


def _verdict(ratio: Ratio | None, machine: float) -> str:
    """A difference that the machine's own speed explains is none of the file's."""
    assert ratio is not None and ratio.low is not None and ratio.high is not None
    if ratio.low > max(1.0, machine):
        return SLOWER
    return FASTER if ratio.high < min(1.0, machine) else SAME


def _machine(before: dict[str, Any], after: dict[str, Any]) -> float:
    """How many times as long the machine took for the sum that is always the same; 1 where it was not asked."""
    spent = [(found["conditions"].get("during") or {}).get("yardstick_ms") for found in (before, after)]
    known = [one for one in spent if isinstance(one, int | float) and 0 < one < math.inf]
    return known[1] / known[0] if len(known) == 2 else 1.0


def _change(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else round(after - before, 5)


def _warnings(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What differs between the conditions, or makes a machine's speed a matter of chance."""
    sides = [_conditions(side) for side in (before, after)]
    warnings = [
        f"{name}: {sides[0][name] or 'unknown'} before, {sides[1][name] or 'unknown'} after"
        for name in sides[0]
        if sides[0][name] != sides[1][name]
    ]
    machine = _machine(before, after)
    if not 1 / _NOTABLE <= machine <= _NOTABLE:
        warnings.append(
            f"the machine itself took {machine:.2f} times as long for a sum that is always the same; "
            "a difference as large is not counted as the file's"
        )
    for side, found in (("before", before), ("after", after)):
        if any(_states(found, "on_battery")):
            warnings.append(f"on battery {side}, where the clock may be lowered")
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
    """What the machine said before and after."""
    return [(found["conditions"].get(moment) or {}).get(name) for moment in ("before", "after")]


def _said(found: dict[str, Any]) -> str:
    return f"{len(found['results'])} on {found['device']}"


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count != 1 else ''}"


def _percent(ratio: float | None) -> str:
    return "" if ratio is None else f"{100 * (ratio - 1):.1f} %"


def _ratio_text(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio.value:.3f}" + ("" if ratio.low is None else f" ({ratio.low:.3f} to {ratio.high:.3f})")
