"""`osteolite inspect`: what can be said of a model file without running it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from .options import MODEL


@click.command()
@click.argument("file", type=MODEL, metavar="FILE|NAME")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(file: str, as_json: bool) -> None:
    """Show all that can be said of a .tflite file without running it.

    What it says of itself: preprocessing, threshold, data, figures, the gate's verdict. What it is
    made of: operators, parameters, multiply-adds, quantisation. And which accelerators would take its
    operators, by their published lists. Of a file from another tool only the last two.
    """
    from ..modelfile.inspection import inspect_model

    found = inspect_model(Path(file))
    if as_json:
        click.echo(json.dumps(found, indent=2, allow_nan=False))
        return
    for key, value in flattened(found):
        click.echo(f"{key:<40} {value}")


def flattened(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flattened(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and value and any(isinstance(v, dict) for v in value):
        for index, inner in enumerate(value):
            yield from flattened(inner, f"{prefix}[{index}]")
    else:
        yield prefix, value
