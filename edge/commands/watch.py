"""`osteolite watch`."""

import os
import signal
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .options import open_scorer, scorer_options

if TYPE_CHECKING:
    from ..watch.service import Watch


@click.command()
@click.argument("folder", metavar="FOLDER")
@click.option("--out", metavar="FILE", required=True, help="Results, one JSON line a file; also what was done.")
@scorer_options
@click.option("--heatmap", metavar="DIR", help="Draw where each answer comes from, into this folder.")
@click.option(
    "--interval",
    type=click.FloatRange(0.05, 3600),
    default=5.0,
    show_default=True,
    help="Seconds between two looks at the folder; a file left alone for that long is complete.",
)
def watch(folder: str, out: str, heatmap: str | None, interval: float, **options: Any) -> None:
    """Score each radiograph that is put into a folder, or into folders below it, until stopped.

    Each file gets one line in the file --out as soon as it is complete, and another if it is written
    again. What has a line is not scored again, after a crash or a power cut either. A file that cannot be
    read gets a line that says so. Of a stop (Ctrl-C, SIGTERM) the images at hand are finished first.
    While FOLDER is away (a share whose machine is off) it is waited for; what cannot be written ends the
    command with exit code 1. Standard error tells counts alone, no names. Research use only: no diagnosis.
    """
    from ..prediction.rows import predict_rows
    from ..watch.inbox import Inbox
    from ..watch.journal import Journal
    from ..watch.service import Watch
    from ..watch.systemd import Supervisor

    skipped = _skipped(folder, out, heatmap)
    supervisor = Supervisor.of_this_process()
    with Journal(out) as journal, open_scorer(**options) as scorer:
        heatmaps = Path(heatmap) if heatmap else None
        rows = partial(predict_rows, scorer, heatmaps=heatmaps, workers=options["threads"])
        job = Watch(Inbox(folder, journal, skipped), journal, rows, _report, supervisor.alive)
        _stop_on_signals(job)
        _report(f"watching; {len(journal)} scored before")
        supervisor.ready(f"{len(journal)} scored before")
        job.run(interval)
        supervisor.stopping()
        _report(f"stopped; {len(journal)} scored in all")


def _skipped(folder: str, out: str, heatmap: str | None) -> list[str]:
    """What the command itself writes; it may lie in the folder, and is no input."""
    try:
        with os.scandir(folder):
            pass
    except OSError as error:
        # Only at the start: a wrong name would otherwise be waited for without end.
        raise UsageError(f"{folder}: cannot be listed: {error.strerror}; name a folder that is there") from error
    if heatmap is None:
        return [out]
    real = os.path.realpath(heatmap)
    if os.path.commonpath([os.path.realpath(folder), real]) == real:
        raise UsageError(f"--heatmap {heatmap}: the watched folder is in it or is it; name one beside or inside")
    return [out, heatmap]


def _stop_on_signals(job: "Watch") -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        job.stop()
        signal.signal(number, signal.SIG_DFL)  # a second one ends it at once

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _report(text: str) -> None:
    click.echo(f"osteolite: {text}", err=True)
