"""Check whether two machines compute the same probabilities, to the last bit.

    python -m osteolite.benchmarks.studies.bit_identity --images FOLDER --count 200 --out first.json

runs on the first machine. Run the same on the second, with the same images and model file, and add
`--against first.json`. `python -m tests.pi arm64` instead of `python` emulates a Raspberry Pi.

{"schema": 1,
 "conditions": {machine, architecture, cores, system, versions}, "runtime",
 "model": {"name", "sha256"}, "images_sha256", "probabilities": {file: probability, ...},
 "probabilities_sha256": of the probabilities as little-endian float64, in that order,
 "against": {"conditions", "runtime", "identical", "different", "largest_difference"}, or null}
"""

import hashlib
import json
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from osteolite.edge.atomic import write_json
from osteolite.edge.errors import OsteoliteError, UsageError
from osteolite.edge.imaging.discovery import image_files
from osteolite.edge.machine import conditions
from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.prediction.router import open_classifier
from osteolite.edge.silence import quiet_stderr

SCHEMA = 1


def spread(names: list[str], count: int) -> list[str]:
    """Select `count` names at even distances, so that each folder is represented in proportion to its size.

    >>> spread(["a", "b", "c", "d", "e", "f"], 3)
    ['a', 'c', 'e']
    """
    count = min(count, len(names))
    return [names[index * len(names) // count] for index in range(count)]


def score(model: Path, folder: Path, count: int, threads: int | None = None) -> dict[str, Any]:
    """Score `count` images of the folder on this machine, with hashes of the inputs and the outputs.

    Raises:
        OsteoliteError: the model, the folder or one of its images cannot be read.
    """
    with quiet_stderr():
        classifier = open_classifier(model, threads)
    names = spread(image_files([str(folder)]), count)
    images, probabilities = hashlib.sha256(), {}
    with click.progressbar(names, label="scoring", file=sys.stderr) as bar:
        for name in bar:
            content = Path(name).read_bytes()
            images.update(hashlib.sha256(content).digest())
            probability = classifier.predict(content).fracture_probability
            probabilities[Path(name).relative_to(folder).as_posix()] = probability
    return {
        "schema": SCHEMA,
        "conditions": conditions(),
        "runtime": classifier.sessions()[0].name,
        "model": {"name": classifier.description.name, "sha256": hashlib.sha256(model.read_bytes()).hexdigest()},
        "images_sha256": images.hexdigest(),
        "probabilities": probabilities,
        "probabilities_sha256": _digest(probabilities.values()),
        "against": None,
    }


def _digest(values: Iterable[float]) -> str:
    return hashlib.sha256(b"".join(struct.pack("<d", value) for value in values)).hexdigest()


def compare(here: dict[str, Any], there: dict[str, Any]) -> dict[str, Any]:
    """Count the identical probabilities of two results, and find the largest difference.

    Raises:
        UsageError: the results are of different images or models.
    """
    for key in ("model", "images_sha256"):
        if here[key] != there[key]:
            raise UsageError(
                f"not comparable: {key} is {there[key]} there and {here[key]} here; use the same images and model"
            )
    pairs = [(here["probabilities"][name], value) for name, value in there["probabilities"].items()]
    return {
        "conditions": there["conditions"],
        "runtime": there["runtime"],
        "identical": sum(a == b for a, b in pairs),
        "different": sum(a != b for a, b in pairs),
        "largest_difference": max(abs(a - b) for a, b in pairs),
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}); give the file that --out wrote on the other machine"
        ) from error
    if not isinstance(there, dict) or there.get("schema") != SCHEMA:
        raise UsageError(f"{path} is not a result of this command with schema {SCHEMA}; give the file that --out wrote")
    return there


@click.command()
@click.option("--images", type=click.Path(True, file_okay=False, path_type=Path), required=True)
@click.option("--model", type=click.Path(True, dir_okay=False, path_type=Path), help="Default, the model that ships.")
@click.option("--count", type=click.IntRange(1), default=200, show_default=True, help="Images to take.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
@click.option("--against", type=click.Path(True, dir_okay=False, path_type=Path), help="Another machine's result.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the result there.")
def main(
    images: Path, model: Path | None, count: int, threads: int | None, against: Path | None, out: Path | None
) -> None:
    """Score images on this machine, and compare the probabilities with another machine's.

    The exit code is 1 if any probability differs in any bit.
    """
    try:
        found = score(model or shipped_model(), images, count, threads)
        if against:
            found["against"] = compare(found, _read(against))
    except OsteoliteError as error:
        raise click.ClickException(str(error)) from error
    if out:
        write_json(out, found)
    click.echo(f"{len(found['probabilities'])} images, probabilities {found['probabilities_sha256']}")
    if found["against"]:
        click.echo(
            "{identical} identical, {different} different, by at most {largest_difference}".format_map(found["against"])
        )
        raise SystemExit(int(found["against"]["different"] > 0))


if __name__ == "__main__":
    main()
