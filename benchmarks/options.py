"""Shared by the commands that measure: options with several numbers, and printing errors."""

import sys

import click

from osteolite.edge.errors import OsteoliteError


def counts(ctx: click.Context | None, param: click.Parameter | None, value: str) -> tuple[int, ...]:
    """Parse an option with one or more comma-separated whole numbers of 1 or more (a click callback).

    >>> counts(None, None, "1,2")
    (1, 2)
    """
    parts = value.split(",")
    if not all(part.isascii() and part.isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{value!r}: give numbers of 1 or more, separated by commas", ctx, param)
    return tuple(map(int, parts))


def run(command: click.Command) -> None:
    """Run a command as `osteolite` does: print an error of this package in one line, and exit with its code."""
    try:
        command()
    except OsteoliteError as error:
        click.echo(f"osteolite: {error}", err=True)
        sys.exit(error.exit_code)
