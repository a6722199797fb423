"""`osteolite doctor`: show what is installed on this device, and whether it works."""

import json

import click

from ..errors import OsteoliteError
from .inspect import flatten


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Show what is installed on this machine, and score a blank image with the model that ships."""
    from ..silence import quiet_stderr
    from .diagnosis import diagnose

    with quiet_stderr():
        found = diagnose()
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        for key, value in flatten(found):
            click.echo(f"{key:<28} {value}")
    if not found["works"]:
        raise SystemExit(OsteoliteError.exit_code)
