"""Console output: progress on standard error, with bars only on a terminal, and tables on standard output."""

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table

T = TypeVar("T")

console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def tracked(items: Iterable[T], what: str, total: int) -> Iterable[T]:
    """Iterate with a progress bar on a terminal, without output elsewhere."""
    return track(items, what, total=total, console=console, transient=True, disable=not console.is_terminal)


def print_table(title: str, columns: list[str], rows: Iterable[list[str]]) -> None:
    """Print a table on standard output; the first column is aligned left, the others right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    output = Console(highlight=False)
    if not output.is_terminal:
        output.width = max(output.width, 160)
    output.print(table)
