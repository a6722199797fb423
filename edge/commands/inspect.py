"""`osteolite inspect`: show the content of a model file without running it."""

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
    """Show the content of a .tflite file without running it.

    Description: preprocessing, threshold, training data, metrics, verdict of the gate. Graph: operators, parameters,
    multiply-adds, quantisation. Targets: the operators that accelerators support, by their published lists. A file
    from another tool has no description.
    """
    from ..modelfile.inspection import inspect_model

    found = inspect_model(Path(file))
    if as_json:
        click.echo(json.dumps(found, indent=2, allow_nan=False))
        return
    for key, value in flatten(found):
        click.echo(f"{key:<40} {value}")


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested dicts and lists of dicts, each with its path, such as `graph.inputs[0].name`."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and value and any(isinstance(v, dict) for v in value):
        for index, inner in enumerate(value):
            yield from flatten(inner, f"{prefix}[{index}]")
    else:
        yield prefix, value
