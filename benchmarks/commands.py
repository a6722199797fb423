"""`osteolite bench`: measure model files, and report, compare or import results."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from osteolite.edge.commands.options import MODEL

from .harness.records import OSTEOLITE, Plan
from .options import counts

if TYPE_CHECKING:
    from .harness.records import Measured

_MEASURE = "measure"


class MeasureOr(click.Group):
    """Runs `measure` if the first argument is no subcommand, so that `bench FILE...` works."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [_MEASURE, *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        measure = self.commands[_MEASURE]
        with click.Context(measure, info_name=ctx.info_name, parent=ctx.parent) as inner:
            measure.format_help(inner, formatter)
        with formatter.section("Existing results"):
            others = {name: command for name, command in self.commands.items() if name != _MEASURE}
            formatter.write_dl([(f"bench {name}", command.get_short_help_str(100)) for name, command in others.items()])


@click.group(cls=MeasureOr)
def bench() -> None:
    """Measure model files, or work with existing results."""


@bench.command(_MEASURE, hidden=True)
@click.argument("files", type=MODEL, metavar="FILE|NAME...", nargs=-1, required=True)
@click.option(
    "--device",
    metavar="DEVICE",
    default="local",
    show_default=True,
    help="local, ssh://[USER@]HOST[:PORT], adb[:SERIAL], or browser.",
)
@click.option("--data", metavar="FOLDER|CSV", help="Labelled images: adds accuracy, AUROC, and file to prediction.")
@click.option(
    "--threads", metavar="N,N,...", callback=counts, default="1,2", show_default=True, help="Numbers of CPU threads."
)
@click.option(
    "--delegate", metavar="NAME,...", default="", help="Delegates to compare, named as in `osteolite predict`."
)
@click.option(
    "--launches", metavar="N", type=click.IntRange(1), default=9, show_default=True, help="Launches per case."
)
@click.option("--peers", is_flag=True, help="Also run the other installed runtimes on the same files.")
@click.option("--batch", metavar="N", type=click.IntRange(1), default=1, help="Also measure batches of N images.")
@click.option(
    "--mlperf",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Also run MLPerf's SingleStream and Offline for this long each; its rules require 600.",
)
@click.option("--profile", is_flag=True, help="Also measure the time by operator.")
@click.option("--out", metavar="DIR", help="Write benchmark.json, benchmark.csv and benchmark.md there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def measure(
    files: tuple[str, ...],
    device: str,
    data: str | None,
    threads: tuple[int, ...],
    delegate: str,
    launches: int,
    peers: bool,
    batch: int,
    mlperf: float,
    profile: bool,
    out: str | None,
    as_json: bool,
) -> None:
    """Measure model files on this machine, another one, a phone, or in a browser.

    Results are cold start, warm-up, latency with intervals, memory, size, and with --data accuracy. Each file is
    launched several times, in new processes that take turns. A result is marked as not valid unless it was steady,
    unthrottled, quiet and long enough. Another machine needs ssh without a password, and Python with ai-edge-litert
    (OSTEOLITE_REMOTE_PYTHON is its command). A phone needs adb and the program benchmark_model.
    """
    from .devices import device as open_device
    from .harness.peers import PEERS, PLAIN
    from .labelled_images import labelled_images

    plan = Plan(
        files=files,
        threads=threads,
        delegates=tuple(delegate.split(",")),
        launches=launches,
        images=tuple(labelled_images(data)) if data else (),
        peers=tuple(name for name in PEERS if name not in (OSTEOLITE, PLAIN)) if peers else (),
        batch=batch,
        mlperf_seconds=mlperf,
        profile=profile,
    )
    run = open_device(device)
    with _progress() as tell:
        measured = run(plan, device, tell)
    _show_measured(measured, out, as_json)
    # A delegate that the user did not name may be missing.
    done = {case.file for case in measured.cases if not case.error}
    if any(delegate or case.file not in done for case in measured.cases if case.error):
        click.get_current_context().exit(1)


@bench.command()
@click.argument("folder", metavar="DIR")
@click.option("--out", metavar="FILE", help="File of the page; default, DIR/benchmark.html.")
def report(folder: str, out: str | None) -> None:
    """Write a page with all results in a folder: AUROC against latency, sizes, distributions, devices."""
    from .analysis.results_file import find_results
    from .page.html import write_page

    target = Path(out) if out else Path(folder) / "benchmark.html"
    write_page(find_results(folder), target)
    click.echo(f"report: {target}", err=True)


@bench.command("import")
@click.argument("file", metavar="FILE")
@click.option("--out", metavar="DIR", help="Write benchmark.json, benchmark.csv and benchmark.md there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def import_(file: str, out: str | None, as_json: bool) -> None:
    """Import the results that the benchmark page saved in a phone's browser."""
    from .analysis.phone_import import read_figures
    from .analysis.summary import results

    _show(results(read_figures(file)), out, as_json)


@bench.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option(
    "--limit", metavar="PERCENT", type=click.FloatRange(min=0), default=5.0, show_default=True, help="Allowed slowdown."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def compare(before: str, after: str, limit: float, as_json: bool) -> None:
    """Compare benchmark B with A; exit code 3 if B is significantly slower, by more than the limit."""
    from .analysis.compare import check, notes, rows, to_dict
    from .analysis.compare import compare as compare_results
    from .analysis.results_file import read_results

    found = compare_results(read_results(before), read_results(after), limit)
    if as_json:
        click.echo(json.dumps(to_dict(found), indent=2))
    else:
        _print_table(*rows(found))
        for note in notes(found):
            click.echo(note, err=True)
    check(found)


@contextmanager
def _progress() -> Iterator[Any]:
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("starting") as status:
        yield lambda text: status.update(text) if console.is_terminal else None


def _show_measured(measured: "Measured", out: str | None, as_json: bool) -> None:
    from osteolite.edge.errors import ModelFileError

    from .analysis.summary import results

    if all(case.error for case in measured.cases):
        raise ModelFileError("; ".join(dict.fromkeys(case.error for case in measured.cases)) or "nothing was measured")
    _show(results(measured), out, as_json)


def _show(found: dict[str, Any], out: str | None, as_json: bool) -> None:
    from .analysis.tables import table, write_results

    if out:
        write_results(found, Path(out))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        machine, cores = (found["conditions"].get(name) for name in ("machine", "cores"))
        title = f"{machine or found['device']}{f', {cores} cores' if cores else ''}"
        _print_table(*table(found["results"]), title=title)
        for reason, count in _reasons(found["results"]).items():
            click.echo(f"not valid, {count} of {len(found['results'])} results: {reason}", err=True)
    for name, reason in found["left_out"].items():
        click.echo(f"left out: {name}: {reason}", err=True)


def _reasons(results: list[dict[str, Any]]) -> dict[str, int]:
    """Count the results by type of reason, keyed by the first reason of each type."""
    kinds: dict[str, list[str]] = {}
    for one in results:
        for kind, reason in {reason.partition(":")[0]: reason for reason in one["reasons"]}.items():
            kinds.setdefault(kind, []).append(reason)
    return {found[0]: len(found) for found in kinds.values()}


def _print_table(titles: list[str], rows: list[list[str]], title: str | None = None) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(title=title and escape(title), title_justify="left")
    for index, column in enumerate(titles):
        drawn.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        drawn.add_row(*map(escape, row))
    console = Console(highlight=False)
    console.width = max(console.width, 200) if not console.is_terminal else console.width
    console.print(drawn)
