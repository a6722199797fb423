"""How a study writes its result: the conditions beside it, and where it goes."""

import json
import os
from pathlib import Path
from typing import Any

import click

from osteolite.edge.atomic import write_json

from ..harness.conditions import machine

SCHEMA = 1


def opening(model: str) -> dict[str, Any]:
    """The fields that every result begins with: {"schema", "conditions", "model": {"file", "bytes"}}.

    Files are named without their folders, which are nobody else's business.
    """
    return {
        "schema": SCHEMA,
        "conditions": machine(),
        "model": {"file": os.path.basename(model), "bytes": os.path.getsize(model)},
    }


def save(found: dict[str, Any], out: str | None, name: str) -> None:
    """Write a result to `name` in the folder `out`, or print it where no folder is given."""
    if out:
        write_json(Path(out) / name, found)
    else:
        click.echo(json.dumps(found, indent=2, allow_nan=False))
