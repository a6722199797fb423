"""`osteolite predict`, `inspect` and `doctor`: what a device needs."""

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import ImageError, OsteoliteError, UsageError

if TYPE_CHECKING:
    from .classifier import FractureClassifier
    from .router import Router

Row = dict[str, Any]


def image_files(paths: Iterable[str]) -> list[str]:
    """Files as given; for a folder, the images in it and below by name, sorted.

    Raises:
        UsageError: a folder without one image.
    """
    from .radiograph import SUFFIXES

    found: list[str] = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        inside = sorted(
            os.path.join(folder, name)
            for folder, _, names in os.walk(path)
            for name in names
            if Path(name).suffix.lower() in SUFFIXES
        )
        if not inside:
            raise UsageError(f"{path} holds no image; looked for {', '.join(sorted(SUFFIXES))}")
        found += inside
    return found


def predict_rows(classifier: "FractureClassifier | Router", names: Iterable[str]) -> Iterator[Row]:
    """One row an image, in order: the prediction, or what was wrong with the file."""
    for name in names:
        try:
            yield {"file": name, **classifier.predict(name).to_dict()}
        except ImageError as error:
            yield {"file": name, "error": {"type": type(error).__name__, "message": str(error)}}


def _print_jsonl(rows: Iterable[Row], names: list[str], parts: tuple[str, ...]) -> None:
    for row in rows:
        click.echo(json.dumps(row, allow_nan=False))


def _print_csv(rows: Iterable[Row], names: list[str], parts: tuple[str, ...]) -> None:
    columns = ["file", "label", "fracture_probability", "threshold", "model"]
    steps = ["read", "preprocess", "invoke"]
    if parts:
        columns[1:1], steps[3:] = ["body_part", "body_part_probability"], ["load"]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*columns, *(f"{step}_ms" for step in steps), "error"])
    for row in rows:
        spent, error = row.get("milliseconds", {}), row.get("error")
        message = f"{error['type']}: {error['message']}" if error else ""
        writer.writerow([*(row.get(c, "") for c in columns), *(spent.get(s, "") for s in steps), message])


def _printable(name: str) -> str:
    """A file name on one line of a terminal: line ends, control characters and undecodable bytes are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _print_table(rows: Iterable[Row], names: list[str], parts: tuple[str, ...]) -> None:
    width, part_width = max(len(_printable(name)) for name in names), max([9, *map(len, map(_printable, parts))])
    part = f"{'body part':<{part_width}}  probability  " if parts else ""
    click.echo(f"{'file':<{width}}  {part}{'label':<9}  probability  threshold  milliseconds")
    for row in rows:
        file = _printable(row["file"])
        if "error" in row:
            click.echo(f"{file:<{width}}  {row['error']['type']}: {row['error']['message']}")
            continue
        total = sum(row["milliseconds"].values())
        if parts:
            part = f"{_printable(row['body_part']):<{part_width}}  {row['body_part_probability']:11.3f}  "
        click.echo(
            f"{file:<{width}}  {part}{row['label']:<9}  {row['fracture_probability']:11.3f}"
            f"  {row['threshold']:9.3f}  {total:12.1f}"
        )


PRINTERS = {"table": _print_table, "jsonl": _print_jsonl, "csv": _print_csv}


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--model", metavar="FILE", help="A .tflite file; default, the model that ships with the package.")
@click.option("--format", "style", type=click.Choice(list(PRINTERS)), default="table", show_default=True)
def predict(paths: tuple[str, ...], model: str | None, style: str) -> None:
    """Score radiographs: files, or folders of them.

    PNG, JPEG, TIFF, BMP or WebP. An image that cannot be read gets an error of its own, the others
    are still scored, and the exit code is 1. Of a router the answer also names the body part.
    Research use only: no diagnosis.
    """
    names = image_files(paths)
    from .quiet import quiet_stderr
    from .router import Router, open_classifier

    with quiet_stderr():
        classifier = open_classifier(model)
    parts = classifier.description.parts if isinstance(classifier, Router) else ()
    failed = 0

    def counted() -> Iterator[Row]:
        nonlocal failed
        hidden = not sys.stderr.isatty() or sys.stdout.isatty() or len(names) < 2
        with click.progressbar(names, label="scoring", file=sys.stderr, hidden=hidden) as bar:
            for row in predict_rows(classifier, bar):
                failed += "error" in row
                yield row

    PRINTERS[style](counted(), names, parts)
    if failed:
        raise SystemExit(OsteoliteError.exit_code)


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(file: str, as_json: bool) -> None:
    """Show all that can be said of a .tflite file without running it.

    What it says of itself: preprocessing, threshold, data, figures, the gate's verdict. What it is
    made of: operators, parameters, multiply-adds, quantisation. And which accelerators would take its
    operators, by their published lists. Of a file from another tool only the last two.
    """
    from .inspection import inspect_model

    found = inspect_model(Path(file))
    if as_json:
        click.echo(json.dumps(found, indent=2, allow_nan=False))
        return
    for key, value in _flatten(found):
        click.echo(f"{key:<40} {value}")


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and value and any(isinstance(v, dict) for v in value):
        for index, inner in enumerate(value):
            yield from _flatten(inner, f"{prefix}[{index}]")
    else:
        yield prefix, value


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Show what is installed here, and score a blank image with the model that ships."""
    from .doctor import examine
    from .quiet import quiet_stderr

    with quiet_stderr():
        found = examine()
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        for key, value in _flatten(found):
            click.echo(f"{key:<28} {value}")
    if not found["works"]:
        raise SystemExit(OsteoliteError.exit_code)
