"""`osteolite predict`."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from ..errors import ImageError, OsteoliteError

if TYPE_CHECKING:
    from ..classifier import FractureClassifier
    from ..router import Router

Row = dict[str, Any]


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
    from ..images import image_files
    from ..quiet import quiet_stderr
    from ..router import Router, open_classifier

    names = image_files(paths)
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
