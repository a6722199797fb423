"""The scenarios SingleStream and Offline as MLPerf Inference defines them.

Source: MLCommons' MLPerf Inference rules (scenarios, early stopping) and the behaviour of its load generator.
SingleStream sends one query after another; its metric is an early-stopping estimate of the 90th percentile of latency,
an upper bound of the true percentile with 99 % confidence. Offline provides all samples at once; its metric is the
throughput. Both run for at least 600 seconds; Offline processes at least 24,576 samples.

{"SingleStream": {"p90_ms": null for too few queries, "queries", "seconds", "minimum_seconds", "complete", "ended"},
 "Offline": {"samples_per_second", "samples", "seconds", "minimum_seconds", "minimum_samples", "complete", "ended"}}

MLPerf is MLCommons' name. These results follow its rules; MLCommons did not review them.
"""

from collections.abc import Sequence
from typing import Any

MINIMUM_SECONDS, MINIMUM_SAMPLES = 600.0, 24_576
_PERCENTILE, _CONFIDENCE = 0.9, 0.99
_SLACK = 0.5  # seconds by which the duration may fall short of the minimum


def early_stopping_estimate(milliseconds: Sequence[float]) -> float | None:
    """An upper bound of the 90th percentile with 99 % confidence; None for fewer than the required 64 queries.

    Let t be the largest number for which the probability that at most t of n queries are slower than the true
    percentile is at most 1 %. The bound is the t-th slowest query.

    >>> early_stopping_estimate(range(1, 65))
    64.0
    """
    from scipy.stats import binom

    ordered = sorted(milliseconds)
    count = len(ordered)
    slower = int(binom.ppf(1 - _CONFIDENCE, count, 1 - _PERCENTILE)) if count else 0
    if slower and binom.cdf(slower, count, 1 - _PERCENTILE) > 1 - _CONFIDENCE:
        slower -= 1
    return float(ordered[count - slower]) if slower >= 1 else None


def single_stream(raw: dict[str, Any]) -> dict[str, Any]:
    """Evaluate {"milliseconds": one per query}."""
    spent: list[float] = raw["milliseconds"]
    seconds, bound = sum(spent) / 1e3, early_stopping_estimate(spent)
    complete = seconds >= MINIMUM_SECONDS - _SLACK and bound is not None
    return {
        "p90_ms": None if bound is None else round(bound, 3),
        "queries": len(spent),
        "seconds": round(seconds, 1),
        "minimum_seconds": MINIMUM_SECONDS,
        "complete": complete,
        "ended": "" if complete else f"early: after {seconds:.0f} of {MINIMUM_SECONDS:.0f} seconds",
    }


def offline(raw: dict[str, Any]) -> dict[str, Any]:
    """Evaluate {"samples", "seconds"}."""
    samples, seconds = int(raw["samples"]), float(raw["seconds"])
    complete = seconds >= MINIMUM_SECONDS - _SLACK and samples >= MINIMUM_SAMPLES
    early = f"early: after {seconds:.0f} of {MINIMUM_SECONDS:.0f} seconds and {samples} of {MINIMUM_SAMPLES} samples"
    return {
        "samples_per_second": round(samples / seconds, 2),
        "samples": samples,
        "seconds": round(seconds, 1),
        "minimum_seconds": MINIMUM_SECONDS,
        "minimum_samples": MINIMUM_SAMPLES,
        "complete": complete,
        "ended": "" if complete else early,
    }
