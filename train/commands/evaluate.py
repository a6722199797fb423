"""`osteolite evaluate`."""

import json
from pathlib import Path
from typing import Any

import click

from osteolite.edge.commands.options import MODEL

from .metrics_table import print_metrics
from .options import JSON


def _detail_lines(found: dict[str, Any]) -> list[str]:
    """The results that are not in the table, one line each."""

    def with_interval(metric: dict[str, float], places: int = 3) -> str:
        return f"{metric['value']:.{places}f} ({metric['low']:.{places}f} to {metric['high']:.{places}f})"

    fixed, detected = found["at_specificity"], (found["pointing"] or {}).get("detected")
    lines = [f"sensitivity at specificity {fixed['specificity']:.2f}: {with_interval(fixed['sensitivity'])}"]
    if detected:
        lines.append(
            f"hottest point in a box: {with_interval(detected['share'])} of {detected['images']} detected fractures"
        )
    if found["warnings"]["images"]:
        kinds = ", ".join(f"{kind} {count}" for kind, count in found["warnings"]["kinds"].items())
        lines.append(f"warnings for {found['warnings']['images']} images: {kinds}")
    if other := found["against_run"]:
        lines.append(
            f"compared with the run's Keras model: {other['flips']} of {other['images']} decisions differ, the "
            f"AUROC changes by {with_interval(other['auroc_difference'], 4)}"
        )
    if outside := found["external"]:
        lines.append(
            f"left out of {outside['images']} images: {outside['alike_to_known']} that resemble known ones, "
            f"{outside['contradictory']} with contradictory labels; {outside['left']} remain in "
            f"{outside['clusters']} clusters, each of which counts once"
        )
    return lines


@click.command()
@click.argument("model", type=MODEL, metavar="FILE|NAME|RUN")
@click.argument("data", metavar="DATA")
@click.option("--part", type=click.Choice(["train", "validation", "test"]), help="Use only this split of DATA.")
@click.option(
    "--known",
    metavar="DATA",
    help="The training data: images that resemble it are left out, similar images count once.",
)
@click.option("--failures", metavar="DIR", help="Draw the worst mistakes into this new folder.")
@click.option("--most", type=click.IntRange(1), default=12, show_default=True, help="Largest number of each kind.")
@JSON
def evaluate(
    model: str, data: str, part: str | None, known: str | None, failures: str | None, most: int, as_json: bool
) -> None:
    """Evaluate a .tflite file, a shipped model or a run's Keras model on labelled radiographs.

    DATA is a folder in a known layout, a CSV manifest, or the catalogue.csv of a run.
    """
    from ..evaluation.evaluate import evaluate as evaluate_model

    found = evaluate_model(
        Path(model), Path(data), part, Path(known) if known else None, (Path(failures), most) if failures else None
    )
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for file, reason in found["unreadable"].items():
        click.echo(f"left out: {file}: {reason}", err=True)
    print_metrics(f"{model} on {data}", found)
    for line in _detail_lines(found):
        click.echo(line)
