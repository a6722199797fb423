"""Write the result of a study, with the conditions of the measurement."""

import json
import os
from pathlib import Path
from typing import Any

import click

from osteolite.edge.atomic import write_json

from ..harness.conditions import machine

SCHEMA = 1


def opening(model: str) -> dict[str, Any]:
    """The first fields of every result: {"schema", "conditions", "model": {"file", "bytes"}}.

    The name of the file has no folder, which may be private.
    """
    return {
        "schema": SCHEMA,
        "conditions": machine(),
        "model": {"file": os.path.basename(model), "bytes": os.path.getsize(model)},
    }


def save(found: dict[str, Any], out: str | None, name: str) -> None:
    """Write a result to `name` in the folder `out`, or print it if `out` is None."""
    if out:
        write_json(Path(out) / name, found)
    else:
        click.echo(json.dumps(found, indent=2, allow_nan=False))
