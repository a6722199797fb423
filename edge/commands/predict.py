"""`osteolite predict`: score images once."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from ..errors import OsteoliteError
from .options import open_scorer, scorer_options

Row = dict[str, Any]


def _print_jsonl(rows: Iterable[Row], names: list[str], body_parts: tuple[str, ...]) -> None:
    for row in rows:
        click.echo(json.dumps(row, allow_nan=False))


def _print_csv(rows: Iterable[Row], names: list[str], body_parts: tuple[str, ...]) -> None:
    columns = ["file", "label", "fracture_probability", "threshold", "warnings", "model"]
    steps = ["read", "preprocess", "invoke", "check"]
    if body_parts:
        columns[1:1], steps[4:] = ["body_part", "body_part_probability"], ["load"]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*columns, *(f"{step}_ms" for step in steps), "error"])
    for row in rows:
        spent, error = row.get("milliseconds", {}), row.get("error")
        message = f"{error['type']}: {error['message']}" if error else ""
        row = {**row, "warnings": " ".join(row.get("warnings", ()))}
        writer.writerow([*(row.get(c, "") for c in columns), *(spent.get(s, "") for s in steps), message])


def _printable(name: str) -> str:
    """Escape line ends, control characters and undecodable bytes of a file name."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _print_table(rows: Iterable[Row], names: list[str], body_parts: tuple[str, ...]) -> None:
    width = max(len(_printable(name)) for name in names)
    part_width = max([9, *(len(_printable(part)) for part in body_parts)])
    body_part = f"{'body part':<{part_width}}  probability  " if body_parts else ""
    click.echo(f"{'file':<{width}}  {body_part}{'label':<9}  probability  threshold  milliseconds  warnings")
    for row in rows:
        file = _printable(row["file"])
        if "error" in row:
            click.echo(f"{file:<{width}}  {row['error']['type']}: {row['error']['message']}")
            continue
        total = sum(row["milliseconds"].values())
        if body_parts:
            body_part = f"{_printable(row['body_part']):<{part_width}}  {row['body_part_probability']:11.3f}  "
        click.echo(
            f"{file:<{width}}  {body_part}{row['label']:<9}  {row['fracture_probability']:11.3f}"
            f"  {row['threshold']:9.3f}  {total:12.1f}  {' '.join(row['warnings'])}".rstrip()
        )


PRINTERS = {"table": _print_table, "jsonl": _print_jsonl, "csv": _print_csv}


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@scorer_options
@click.option("--heatmap", metavar="DIR", help="Folder for heatmaps, which show where each prediction comes from.")
@click.option("--format", "style", type=click.Choice(list(PRINTERS)), default="table", show_default=True)
def predict(paths: tuple[str, ...], heatmap: str | None, style: str, **options: Any) -> None:
    """Score radiographs: files, or folders of them.

    PNG, JPEG, TIFF, BMP, WebP or DICOM. An image that cannot be read is reported with its error; the others are
    scored, and the exit code is 1. A router also names the body part. Warnings mark images that do not look like bone
    radiographs. Research use only: no diagnosis.
    """
    from ..imaging.discovery import image_files
    from ..prediction.router import Router
    from ..prediction.rows import predict_rows

    names = image_files(paths)
    scorer = open_scorer(**options)
    body_parts = scorer.description.labels if isinstance(scorer, Router) else ()
    failed = 0

    def counted() -> Iterator[Row]:
        nonlocal failed
        hidden = not sys.stderr.isatty() or sys.stdout.isatty() or len(names) < 2
        with click.progressbar(names, label="scoring", file=sys.stderr, hidden=hidden) as bar:
            for row in predict_rows(scorer, bar, Path(heatmap) if heatmap else None, options["threads"]):
                failed += "error" in row
                yield row

    PRINTERS[style](counted(), names, body_parts)
    if failed:
        raise SystemExit(OsteoliteError.exit_code)
