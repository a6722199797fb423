"""Time Osteolite and its peers from a radiograph's file to its prediction, in turns.

    python -m osteolite.benchmarks.studies.answers IMAGES... [--size 373x454] [--most 100] [--threads 1,2]
        [--rounds 7] [--model FILE] [--onnx FILE] [--out DIR]

writes answers.json:

{"schema": 1, "conditions", "model",
 "images": {"count", "pixels": {"least", "most"} per image}, "rounds",
 "results": [one per number of threads:
   {"threads",
    "answers": {contender: {"note", "runtime": package and version, "p50", "p90" in milliseconds,
                            "ratio": of its time to Osteolite's, median of the pairs, with a 95 % interval,
                            "difference": {"mean", "largest"} between its probabilities and Osteolite's}},
    "left_out": {contender: why},
    "invoke": the overhead of the runtime over its interpreter (see `measure_overhead`)}]}

A ratio above 1 means that the contender takes longer than Osteolite.
"""

from contextlib import ExitStack
from typing import Any

import click
import numpy as np

from osteolite.edge.commands.options import MODEL, MODEL_HELP
from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.silence import quiet_stderr

from ..harness.peers import PEERS, PLAIN, Contender, LeftOut, Setup, different_network
from ..harness.records import OSTEOLITE
from ..options import counts, run
from .overhead import measure_overhead
from .record import opening, save
from .selection import parse_size, select, size_of
from .turns import interleaved, paired, times

Answers = np.ndarray[Any, np.dtype[np.float64]]  # one probability per image


def measure_answers(setup: Setup, images: list[str], rounds: int) -> dict[str, Any]:
    """Time all available contenders on all images.

    Returns:
        {"threads", "answers", "left_out"} as the module describes them.

    Raises:
        ImageError: an image cannot be read.
        ModelFileError: the model cannot be loaded.
        UsageError: the peers do not support this model.
    """
    with ExitStack() as stack:
        contenders, left_out = _contenders(setup, stack)
        given = {name: np.array([one.answer(image) for image in images]) for name, one in contenders.items()}
        for name, reason in _different_networks(given).items():
            left_out[name] = reason
            del contenders[name]
        spent = interleaved({name: one.answer for name, one in contenders.items()}, images, rounds)
    ours = spent[OSTEOLITE]
    return {
        "threads": setup.threads,
        "answers": {
            name: {
                "note": PEERS[name].note,
                "runtime": contenders[name].runtime,
                **times(found),
                "ratio": paired(found / ours),
                "difference": _difference(given[name] - given[OSTEOLITE]),
            }
            for name, found in spent.items()
        },
        "left_out": left_out,
    }


def _different_networks(given: dict[str, Answers]) -> dict[str, str]:
    """Contenders that got the same pixels as `plain` but gave different answers, and why they are left out."""
    reasons = {name: different_network(given[name], given[PLAIN]) for name in given if PEERS[name].plain_pixels}
    return {name: reason for name, reason in reasons.items() if reason}


def _difference(values: Answers) -> dict[str, float]:
    sizes = np.abs(values)
    return {"mean": round(float(sizes.mean()), 4), "largest": round(float(sizes.max()), 4)}


def _contenders(setup: Setup, stack: ExitStack) -> tuple[dict[str, Contender], dict[str, str]]:
    contenders: dict[str, Contender] = {}
    left_out: dict[str, str] = {}
    with quiet_stderr():
        for name, peer in PEERS.items():
            try:
                contenders[name] = stack.enter_context(peer.open(setup))
            except LeftOut as error:
                left_out[name] = str(error)
    return contenders, left_out


def _pixels(images: list[str]) -> dict[str, int]:
    sizes = [width * height for width, height in map(size_of, images)]
    return {"least": min(sizes), "most": max(sizes)}


def _print_table(found: dict[str, Any]) -> None:
    for result in found["results"]:
        click.echo(
            f"{found['images']['count']} images, {result['threads']} threads, {found['rounds']} rounds", err=True
        )
        for name, one in result["answers"].items():
            ratio = "{median:6.2f} ({low:.2f} to {high:.2f})".format(**one["ratio"])
            click.echo(f"  {name:<12} {one['p50']:8.2f} ms  ratio {ratio}", err=True)
        for name, reason in result["left_out"].items():
            click.echo(f"  {name:<12} left out: {reason}", err=True)
        added = "{median:.2f} ms ({low:.2f} to {high:.2f})".format(**result["invoke"]["added_ms"])
        click.echo(f"  the runtime adds {added} to an invoke of {result['invoke']['bare']['p50']:.2f} ms", err=True)


@click.command()
@click.argument("paths", metavar="IMAGES...", nargs=-1, required=True)
@click.option("--size", metavar="WxH", help="Take only images of this size, either way up.")
@click.option("--most", metavar="N", type=click.IntRange(1), help="Take N of them, spread evenly.")
@click.option(
    "--threads", metavar="N,N,...", callback=counts, default="2", show_default=True, help="Numbers of CPU threads."
)
@click.option("--rounds", metavar="N", type=click.IntRange(1), default=7, show_default=True)
@click.option("--model", type=MODEL, metavar="FILE|NAME", help=MODEL_HELP)
@click.option(
    "--onnx", metavar="FILE", help="The same network for ONNX Runtime (see `osteolite.benchmarks.harness.peers`)."
)
@click.option("--out", metavar="DIR", help="Write answers.json there instead of printing it.")
def main(
    paths: tuple[str, ...],
    size: str | None,
    most: int | None,
    threads: tuple[int, ...],
    rounds: int,
    model: str | None,
    onnx: str | None,
    out: str | None,
) -> None:
    """Time Osteolite and its peers from file to prediction, interleaved image by image."""
    model = model or str(shipped_model())
    setups = [Setup(model, count, onnx) for count in threads]
    found = opening(model)
    images = select(paths, parse_size(size), most)
    found |= {"images": {"count": len(images), "pixels": _pixels(images)}, "rounds": rounds}
    found["results"] = [
        {**measure_answers(setup, images, rounds), "invoke": measure_overhead(setup, images, rounds)}
        for setup in setups
    ]
    _print_table(found)
    save(found, out, "answers.json")


if __name__ == "__main__":
    run(main)
