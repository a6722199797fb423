"""`osteolite tune`."""

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from osteolite.edge.machine import default_threads


@click.command()
@click.argument("folder", metavar="RUN")
@click.option(
    "--max-ms",
    type=click.FloatRange(0, min_open=True),
    help="Maximum p50 latency of one image on this device, milliseconds.",
)
@click.option("--max-mb", type=click.FloatRange(0, min_open=True), help="Maximum size of the file, megabytes.")
@click.option("--min-auroc", type=click.FloatRange(0.5, 1.0), help="Minimum AUROC on the validation split.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Default: RUN/tuning.")
@click.option("--json", "as_json", is_flag=True, help="Print tune.json instead of a table.")
def tune(
    folder: str,
    max_ms: float | None,
    max_mb: float | None,
    min_auroc: float | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Search for the best width, input size and variant on this device, within limits.

    Candidates are timed before training, and only those that may win are trained, on the run's data;
    each training takes about as long as the original run. The plot tune.png shows AUROC against
    latency with the Pareto front and the choice.
    """
    from osteolite.edge.cli import load_command
    from osteolite.train.runs.run_folder import Run

    from ..tuning.pareto import TuningLimits
    from ..tuning.search import tune as search

    run = Run.open(folder)
    target = out or run.path("tuning")

    def bench(files: list[Path]) -> Any:
        threads = str(default_threads())
        with TemporaryDirectory() as measured, redirect_stdout(StringIO()):
            arguments = [*map(str, files), "--threads", threads, "--launches", "3", "--out", measured]
            load_command("bench").main(arguments, standalone_mode=False)
            return json.loads((Path(measured) / "benchmark.json").read_text(encoding="utf-8"))

    result = search(run, TuningLimits(max_ms, max_mb, min_auroc), target, bench)
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        _print_points(result, target)


def _print_points(result: dict[str, Any], folder: Path) -> None:
    from osteolite.train.console import print_table

    rows = [
        [
            f"{point['width']:g}",
            f"{point['input'][0]} x {point['input'][1]}",
            point["variant"],
            f"{point['auroc']:.3f}",
            f"{point['low']:.3f} to {point['high']:.3f}",
            f"{point['milliseconds']:.2f}",
            f"{point['megabytes']:.2f}",
            "choice" if point == result["choice"] else "Pareto front" if point["file"] in result["front"] else "",
        ]
        for point in sorted(result["points"], key=lambda one: one["milliseconds"])
    ]
    columns = ["width", "input", "variant", "AUROC, validation", "95 % interval", "p50 ms", "MB", ""]
    print_table("Variants that passed the gate, on this device", columns, rows)
    click.echo(f"choice: {result['choice']['file']}\nplot: {folder / 'tune.png'}")
