"""Compare images per second on all CPU cores and on one, and record memory over a long pass. Linux only.

    python -m osteolite.benchmarks.studies.throughput IMAGES... [--size 373x454] [--most 300] [--rounds 5]
        [--long 10000] [--model FILE] [--out DIR]

writes throughput.json:

{"schema": 1, "conditions", "model", "images": number per pass, "rounds", "cores": number of all cores,
 "images_per_second": {"one_core", "all_cores": one value per round}, "ratio": all cores to one, median of the
 rounds' pairs, with a 95 % interval,
 "memory": null, or of one pass on all cores over `--long` images, which repeat the given ones:
   {"images", "failed", "seconds", "peak_mb", "resident_mb": after the first image and at even steps}}

Each pass is a separate process that is bound to its cores (see `osteolite.benchmarks.studies.stream`); one core has one
worker. Starting and loading are not counted.
"""

import json
import os
import subprocess
import sys
from itertools import cycle, islice
from typing import Any

import click
import numpy as np

from osteolite.edge.commands.options import MODEL, MODEL_HELP
from osteolite.edge.errors import OsteoliteError
from osteolite.edge.modelfile.shipped import shipped_model

from ..options import run
from .record import opening, save
from .selection import parse_size, select
from .turns import paired

_SAMPLES = 50  # of the resident memory per pass
ONE, ALL = "one_core", "all_cores"


def measure_throughput(model: str, images: list[str], rounds: int) -> dict[str, Any]:
    """Run passes on one core and on all cores, in turns.

    Returns:
        {"images", "rounds", "cores", "images_per_second", "ratio"} as the module describes them.

    Raises:
        OsteoliteError: a pass fails, or an image cannot be read.
    """
    cores = sorted(os.sched_getaffinity(0))
    speeds: dict[str, list[float]] = {ONE: [], ALL: []}
    for turn in range(rounds):
        for name in (ONE, ALL) if turn % 2 else (ALL, ONE):
            found = one_pass(model, images, cores[:1] if name == ONE else cores, 1 if name == ONE else None)
            if found["failed"]:
                raise OsteoliteError(f"{found['failed']} of {len(images)} images cannot be read; leave them out")
            speeds[name].append(found["images"] / found["seconds"])
    ratios = np.array([[fast / slow] for slow, fast in zip(speeds[ONE], speeds[ALL], strict=True)])
    return {
        "images": len(images),
        "rounds": rounds,
        "cores": len(cores),
        "images_per_second": {name: [round(value, 2) for value in found] for name, found in speeds.items()},
        "ratio": paired(ratios),
    }


def measure_memory(model: str, images: list[str], count: int) -> dict[str, Any]:
    """Run one pass on all cores over `count` images, repeating the given ones.

    Raises:
        OsteoliteError: the pass fails.
    """
    return one_pass(model, list(islice(cycle(images), count)), sorted(os.sched_getaffinity(0)), None)


def one_pass(model: str, images: list[str], cores: list[int], workers: int | None) -> dict[str, Any]:
    order = {"model": model, "images": images, "cores": cores, "workers": workers, "samples": _SAMPLES}
    command = [sys.executable, "-m", "osteolite.benchmarks.studies.stream"]
    done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True, check=False)
    if done.returncode:
        raise OsteoliteError(f"a pass over {len(images)} images failed: {(done.stderr.strip() or 'no reason')[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@click.command()
@click.argument("paths", metavar="IMAGES...", nargs=-1, required=True)
@click.option("--size", metavar="WxH", help="Take only images of this size, either way up.")
@click.option("--most", metavar="N", type=click.IntRange(1), default=300, show_default=True, help="Images per pass.")
@click.option("--rounds", metavar="N", type=click.IntRange(1), default=5, show_default=True)
@click.option("--long", metavar="N", type=click.IntRange(1), help="Also record memory over N images.")
@click.option("--model", type=MODEL, metavar="FILE|NAME", help=MODEL_HELP)
@click.option("--out", metavar="DIR", help="Write throughput.json there instead of printing it.")
def main(
    paths: tuple[str, ...],
    size: str | None,
    most: int,
    rounds: int,
    long: int | None,
    model: str | None,
    out: str | None,
) -> None:
    """Measure the images per second, and the memory over a long pass."""
    model = model or str(shipped_model())
    found = opening(model)
    images = select(paths, parse_size(size), most)
    one_pass(model, images, sorted(os.sched_getaffinity(0)), None)  # warms up: the first pass reads from disk
    found |= measure_throughput(model, images, rounds)
    found["memory"] = measure_memory(model, images, long) if long else None
    save(found, out, "throughput.json")


if __name__ == "__main__":
    run(main)
