"""Compare `osteolite bench` with LiteRT's own `litert-benchmark` on the same files.

    python -m osteolite.benchmarks.studies.agreement FILE... [--threads 1,2] [--rounds 9] [--out DIR]

writes agreement.json: {"schema": 1, "conditions", "rounds", "results": [{"file", "threads", "bench_ms",
"litert_ms": one median per round, "ratio": bench to litert {"median", "low", "high"}}]}.

In each round both start a process, warm up for 30 invocations and take the median of 100. They differ in one thing:
`litert-benchmark` runs LiteRT's CompiledModel and leaves its outputs in the runtime's buffers; `bench` runs the
interpreter that Osteolite uses, passes it the tensor and copies the outputs.
"""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from osteolite.edge.errors import MissingExtra

from ..analysis.intervals import median_interval
from ..harness.conditions import machine
from ..harness.process import Worker
from ..harness.records import Task
from ..options import counts, run
from .record import SCHEMA, save

_WARM_UP, _RUNS = 30, 100


def _bench(file: str, threads: int) -> float:
    worker = Worker(Task(file, threads))
    try:
        worker.ask("invoke", runs=_WARM_UP)
        return float(np.median(worker.ask("invoke", runs=_RUNS)["milliseconds"]))
    finally:
        worker.close()


def _litert(file: str, threads: int) -> float:
    """The median that `litert-benchmark` reports.

    Raises:
        MissingExtra: the program is not installed.
    """
    program = Path(sys.executable).with_name("litert-benchmark")
    if not program.exists():
        raise MissingExtra("litert-benchmark is not installed; install ai-edge-litert 2.1 or newer")
    with TemporaryDirectory() as folder:
        result_file = Path(folder) / "result.json"
        options = ["--num_threads", str(threads), "--warmup_runs", str(_WARM_UP), "--num_runs", str(_RUNS)]
        command = [str(program), "--model", file, *options, "--result_json", str(result_file)]
        subprocess.run(command, capture_output=True, check=True)
        return float(json.loads(result_file.read_text())["latency"]["median_ms"])


def compare(file: str, threads: int, rounds: int) -> dict[str, Any]:
    """Run both programs in each round; which one is first alternates."""
    found: dict[str, list[float]] = {"bench": [], "litert": []}
    ways = [("bench", _bench), ("litert", _litert)]
    for number in range(rounds):
        for name, way in ways if number % 2 else reversed(ways):
            found[name].append(way(file, threads))
    ratios = [ours / theirs for ours, theirs in zip(found["bench"], found["litert"], strict=True)]
    interval = median_interval(ratios)
    low, high = (round(interval[1], 4), round(interval[2], 4)) if interval else (None, None)
    return {
        "file": os.path.basename(file),
        "threads": threads,
        **{f"{name}_ms": [round(value, 3) for value in values] for name, values in found.items()},
        "ratio": {"median": round(float(np.median(ratios)), 4), "low": low, "high": high},
    }


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--threads", metavar="N,N,...", callback=counts, default="1,2", show_default=True)
@click.option("--rounds", metavar="N", type=click.IntRange(1), default=9, show_default=True)
@click.option("--out", metavar="DIR", help="Write agreement.json there instead of printing it.")
def main(files: tuple[str, ...], threads: tuple[int, ...], rounds: int, out: str | None) -> None:
    """Compare `osteolite bench` with LiteRT's own benchmark, interleaved."""
    found: dict[str, Any] = {"schema": SCHEMA, "conditions": machine(), "rounds": rounds, "results": []}
    for file, count in product(files, threads):
        found["results"].append(compare(file, count, rounds))
        last = found["results"][-1]
        click.echo(f"{last['file']}, {count} threads: {last['ratio']['median']:.3f} times as long", err=True)
    save(found, out, "agreement.json")


if __name__ == "__main__":
    run(main)
