"""`osteolite bench`."""

import json
import os
from pathlib import Path

import click


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--data", metavar="FOLDER|CSV", help="Labelled images: adds accuracy, AUROC, and file to answer.")
@click.option("--threads", metavar="N,N,...", default="1,2", show_default=True, help="Interpreter threads.")
@click.option("--out", metavar="DIR", help="Write benchmark.json and benchmark.csv there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def bench(files: tuple[str, ...], data: str | None, threads: str, out: str | None, as_json: bool) -> None:
    """Measure model files on this machine: cold start, warm-up, latency, memory, size, accuracy.

    Each file runs in a process of its own and the processes take turns, so that ratios hold on a
    machine that is shared.
    """
    try:
        counts = [int(count) for count in threads.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise click.UsageError(f"--threads {threads}: give numbers of 1 or more, with commas between them")
    from rich.console import Console
    from rich.table import Table

    from .figures import columns, results, table, write_results
    from .images import labelled_images
    from .measure import measure

    images = labelled_images(data) if data else []
    load = os.getloadavg()
    found = results(measure(list(files), counts, images), len(images), load)
    if out:
        write_results(found, Path(out))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    machine = found["conditions"]
    drawn = Table(title=f"{machine['machine']}, {machine['cores']} cores, load {load[0]:.1f}", title_justify="left")
    for index, column in enumerate(columns(found)):
        drawn.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for row in table(found):
        drawn.add_row(*row)
    console = Console(highlight=False)
    console.width = max(console.width, 140) if not console.is_terminal else console.width
    console.print(drawn)
