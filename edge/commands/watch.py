"""`osteolite watch`: score images as they arrive in a folder."""

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
@click.option(
    "--out",
    metavar="FILE",
    required=True,
    help="Results file, one JSON line per image; it also records which images are done.",
)
@scorer_options
@click.option("--heatmap", metavar="DIR", help="Folder for heatmaps, which show where each prediction comes from.")
@click.option(
    "--interval",
    type=click.FloatRange(0.05, 3600),
    default=5.0,
    show_default=True,
    help="Seconds between two polls of the folder; a file that is unchanged for that long is complete.",
)
def watch(folder: str, out: str, heatmap: str | None, interval: float, **options: Any) -> None:
    """Score each radiograph that arrives in a folder or its subfolders, until stopped.

    Each image gets one line in the --out file as soon as it is complete, and another line if it is written again. An
    image that has a line is not scored again, even after a crash or a power cut. An image that cannot be read gets a
    line with the error. On Ctrl-C or SIGTERM, the images in progress are finished first. If FOLDER disappears (a share
    whose machine is off), the command waits for it. If a result cannot be written, the command ends with exit code 1.
    Standard error shows counts but no file names. Research use only: no diagnosis.
    """
    from ..prediction.rows import predict_rows
    from ..watch.inbox import Inbox
    from ..watch.journal import Journal
    from ..watch.service import Watch
    from ..watch.systemd import SystemdNotifier

    skipped = _skipped(folder, out, heatmap)
    notifier = SystemdNotifier.from_environment()
    with Journal(out) as journal, open_scorer(**options) as scorer:
        heatmaps = Path(heatmap) if heatmap else None
        rows = partial(predict_rows, scorer, heatmaps=heatmaps, workers=options["threads"])
        job = Watch(Inbox(folder, journal, skipped), journal, rows, _report, notifier.alive)
        _stop_on_signals(job)
        _report(f"watching; {len(journal)} scored before")
        notifier.ready(f"{len(journal)} scored before")
        job.run(interval)
        notifier.stopping()
        _report(f"stopped; {len(journal)} scored in all")


def _skipped(folder: str, out: str, heatmap: str | None) -> list[str]:
    """Return what the command itself writes; it may be inside the watched folder, and is not scored."""
    try:
        with os.scandir(folder):
            pass
    except OSError as error:
        # Checked only at the start: otherwise the command would wait forever for a wrong name.
        raise UsageError(f"{folder}: cannot be listed: {error.strerror}; name an existing folder") from error
    if heatmap is None:
        return [out]
    real = os.path.realpath(heatmap)
    if os.path.commonpath([os.path.realpath(folder), real]) == real:
        raise UsageError(f"--heatmap {heatmap}: is or contains the watched folder; name a folder beside or inside it")
    return [out, heatmap]


def _stop_on_signals(job: "Watch") -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        job.stop()
        signal.signal(number, signal.SIG_DFL)  # a second signal ends the process at once

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _report(text: str) -> None:
    click.echo(f"osteolite: {text}", err=True)
