"""What the measuring commands share: numbers in one option, and how errors are printed."""

import sys

import click

from osteolite.edge.errors import OsteoliteError


def counts(ctx: click.Context | None, param: click.Parameter | None, value: str) -> tuple[int, ...]:
    """The callback of an option that takes whole numbers of 1 or more, with commas between them.

    >>> counts(None, None, "1,2")
    (1, 2)
    """
    parts = value.split(",")
    if not all(part.isascii() and part.isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{value!r}: give numbers of 1 or more, with commas between them", ctx, param)
    return tuple(map(int, parts))


def run(command: click.Command) -> None:
    """Run a command as `osteolite` runs its own: an error of this package is one line, and its exit code."""
    try:
        command()
    except OsteoliteError as error:
        click.echo(f"osteolite: {error}", err=True)
        sys.exit(error.exit_code)
