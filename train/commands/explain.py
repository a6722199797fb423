"""`osteolite explain`."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from osteolite.edge.errors import OsteoliteError

if TYPE_CHECKING:
    from ..evaluation.explain import Explainer


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("paths", metavar="[IMAGE|FOLDER]...", nargs=-1)
@click.option("--out", metavar="DIR", help="Folder for the maps; maps of an earlier call are replaced.")
@click.option(
    "--method",
    type=click.Choice(["cam", "gradcam"]),
    help="Default: cam if the network has a class activation map, else gradcam.",
)
@click.option("--layer", "layers", metavar="NAME", multiple=True, help="A feature map. Default: the last. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    run: str, paths: tuple[str, ...], out: str | None, method: str | None, layers: tuple[str, ...], as_json: bool
) -> None:
    """Draw maps of the regions that a run's prediction comes from.

    Without IMAGE, play the pointing game on the run's test split: how often the hottest point of the map lies
    in a fracture box. This needs data with boxes; --out then draws the maps with boxes and hottest points.
    If an image cannot be read, the others are still drawn and the exit code is 1. A map shows what the
    network looked at. It is not a diagnosis.
    """
    from osteolite.edge.imaging.discovery import image_files

    from ..evaluation.explain import Explainer, explain_images, play_pointing_game
    from ..runs.run_folder import Run

    if paths and out is None:
        raise click.UsageError("IMAGE needs --out DIR, the folder for the maps")
    names = image_files(paths)
    explainer = Explainer(Run.open(run), layers, method)
    if not paths:
        _show_game(play_pointing_game(explainer, Path(out) if out else None), as_json)
        return
    _show_images(explainer, explain_images(explainer, names, Path(str(out))), as_json)


def _show_images(explainer: "Explainer", rows: Iterable[dict[str, Any]], as_json: bool) -> None:
    found = []
    for row in rows:
        found.append(row)
        if as_json:
            continue
        if "error" in row:
            click.echo(f"{row['file']}: {row['error']['type']}: {row['error']['message']}", err=True)
        for one in row.get("maps", ()):
            click.echo(f"{row['file']}  {row['label']} {row['fracture_probability']:.3f}  {one['file']}")
    if as_json:
        click.echo(json.dumps({"method": explainer.method, "images": found}, indent=2, allow_nan=False))
    if any("error" in row for row in found):
        raise SystemExit(OsteoliteError.exit_code)


def _show_game(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result, indent=2, allow_nan=False))
    else:
        _print_game(result)
    if result["left_out"]:
        raise SystemExit(OsteoliteError.exit_code)


def _print_game(result: dict[str, Any]) -> None:
    from ..console import print_table

    names = {"share": "hottest point in a box", "centre": "image centre in a box", "chance": "random point in a box"}
    for file, reason in result["left_out"].items():
        click.echo(f"left out: {file}: {reason}", err=True)
    for layer in result["layers"]:
        groups = [one for one in (layer["all"], layer["detected"]) if one]
        rows = [
            ["images (groups)", *(text for group in groups for text in (f"{group['images']} ({group['groups']})", ""))]
        ]
        rows += [
            [text, *(found for group in groups for found in _with_interval(group[name]))]
            for name, text in names.items()
        ]
        columns = ["all fractured", "95 % interval", "detected", "95 % interval"][: 2 * len(groups)]
        print_table(f"Pointing game, test split, {result['method']}, layer {layer['layer']}", ["", *columns], rows)
        if layer["nowhere"]:
            click.echo(f"{layer['nowhere']} maps are flat; they count as misses")
    if result["without_boxes"]:
        click.echo(f"{result['without_boxes']} of {result['fractured']} fractured images have no box and are left out")
    click.echo("A point counts if it lies inside a box or on its border, with no tolerance.")


def _with_interval(metric: dict[str, float]) -> list[str]:
    return [f"{metric['value']:.3f}", f"{metric['low']:.3f} to {metric['high']:.3f}"]
