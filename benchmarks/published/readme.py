"""Write the tables of the README, or of another page, from the published results, so that none is typed by hand.

    python -m osteolite.benchmarks.published.readme [--check] [README.md]

A table is between `<!-- table: NAME -->` and `<!-- end of table -->`, where NAME is one of `TABLES`. With --check
nothing is written, and the exit code is 1 if a table differs from the results.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from osteolite.edge.atomic import write_text
from osteolite.edge.errors import UsageError

from ..harness.records import OSTEOLITE
from ..options import run
from .results import Lines, interval_text, percent_text, published
from .shipped import alterations, elsewhere, family, files, seeds, subgroups, warnings

MODELS = "amd-epyc-2-cores-litert-2.3.0-2026-11-22"  # machine, runtime and date of the results in the README
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def variants() -> Lines:
    """Every variant of the model at one and two threads, with the gate's verdict."""
    verdicts = {one["variant"]: one for one in published(MODELS, "conversion.json")["variants"]}
    metrics = ["MB (packed)", "AUROC", "accuracy", "decisions as before"]
    lines = [["variant", *metrics, "invoke at 1 and 2 threads, ms", "file to answer, ms", "peak MB", "gate"]]
    found = published(MODELS, "benchmark.json")["results"] + published(MODELS, "int16x8.json")["results"]
    for one, other in _pairs(found):
        name, verdict = one["variant"], verdicts[one["variant"]]
        gate = verdict["gate"]
        lines.append(
            [
                name,
                f"{one['bytes'] / 1e6:.2f} ({verdict['compressed_bytes'] / 1e6:.1f})",
                "" if one["auroc"] is None else f"{one['auroc']:.3f}",
                "" if one["accuracy"] is None else f"{100 * one['accuracy']:.1f} %",
                f"{100 * gate['agreement']:.1f} %",
                f"{_latency(one)}, {_latency(other)}",
                _whole(one),
                f"{one['peak_mb']:.0f}",
                "passed" if gate["passed"] else f"refused: {_lost(gate['reasons'])}",
            ]
        )
    return lines


def peers() -> Lines:
    """A quantised model, and the model before quantisation, on other runtimes on the same CPU."""
    found = sorted(published(MODELS, "peers.json")["results"], key=lambda one: one["variant"] == "float32")
    lines = [["file", "runtime", "invoke at 1 and 2 threads, ms", "times ours", "file to answer, ms"]]
    for one, other in _pairs(found):
        ours = one["engine"] == OSTEOLITE
        lines.append(
            [
                one["variant"],
                f"{'**Osteolite**, ' if ours else ''}{one['runtime']}",
                f"{_latency(one)}, {_latency(other)}" if one["milliseconds"]["invoke"] else "",
                ", ".join(filter(None, map(_times, (one, other)))) if not ours else "",
                _whole(one),
            ]
        )
    return lines


def published_split() -> Lines:
    """The same recipe on a data set's published split and on a repaired one."""
    folder = "multiregion_mobilenetv2"
    audit = {name: published(folder, f"{name}.json") for name in ("audit", "audit_repaired")}
    tests = [published(folder, f"{name}.json")["test"] for name in ("published_split", "repaired_split")]
    return [
        ["`multiregion_mobilenetv2`, test split", "published split", "repaired split"],
        ["test images that training has seen", *(_seen(one) for one in audit.values())],
        ["accuracy", *(percent_text(test["accuracy"]) for test in tests)],
        ["AUROC", *(interval_text(test["auroc"]) for test in tests)],
    ]


def _seen(audit: dict[str, Any]) -> str:
    share = audit["leaks"]["test"]["near_duplicate_share"]
    return f"{100 * share:.1f} %" if share else "0"


def _pairs(results: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pair the results of the same file and engine at one and at two threads."""
    at = {(one["file"], one["engine"], one["threads"]): one for one in results}
    return [(one, at[file, engine, 2]) for (file, engine, threads), one in at.items() if threads == 1]


def _latency(one: dict[str, Any]) -> str:
    """The p50, with a star if the result is not valid."""
    invoke = one["milliseconds"]["invoke"]
    digits = 1 if invoke["p50"] < 100 else 0
    return f"{invoke['p50']:.{digits}f}{'' if one['valid'] else '*'}"


def _whole(one: dict[str, Any]) -> str:
    """The time from file to prediction; empty if no images were scored."""
    whole = one["milliseconds"]["whole"]
    return f"{whole['p50']:.1f}" if whole else ""


def _times(one: dict[str, Any]) -> str:
    return "{ratio:.2f} ({low:.2f} to {high:.2f})".format(**one["relative"]) if one["relative"] else ""


def _lost(reasons: list[str]) -> str:
    """What the variant lost: AUROC, sensitivity, decisions."""
    kinds = {"AUROC": "AUROC", "sensitivity": "sensitivity", "decisions": "decisions"}
    return ", ".join(word for key, word in kinds.items() if any(key in reason for reason in reasons))


TABLES: dict[str, Callable[[], Lines]] = {
    "family": family,
    "files": files,
    "seeds": seeds,
    "subgroups": subgroups,
    "variants": variants,
    "alterations": alterations,
    "warnings": warnings,
    "elsewhere": elsewhere,
    "peers": peers,
    "published_split": published_split,
}


def filled(text: str) -> str:
    """Replace the tables of a text by those of the results.

    Raises:
        UsageError: an unknown table.
    """

    def fill(found: re.Match[str]) -> str:
        if found[2] not in TABLES:
            raise UsageError(f"unknown table {found[2]}; allowed are {', '.join(TABLES)}")
        lines = TABLES[found[2]]()
        rows = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
        return found[1] + "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |") for row in rows) + found[3]

    return _TABLE.sub(fill, text)


@click.command()
@click.argument("path", metavar="README.md", default=str(Path(__file__).parents[2] / "README.md"))
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if a table differs from the results.")
def main(path: str, check: bool) -> None:
    """Write the README's tables from benchmarks/results."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error}); run this in a checkout, or give its path") from error
    new = filled(text)
    if check and new != text:
        click.echo(
            f"{path}: a table differs from the results; run python -m osteolite.benchmarks.published.readme {path}",
            err=True,
        )
        sys.exit(1)
    if new != text:
        write_text(Path(path), new)


if __name__ == "__main__":
    run(main)
