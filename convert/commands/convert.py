"""`osteolite convert`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from osteolite.edge.errors import GateRefusal, UsageError

if TYPE_CHECKING:
    from ..convert import Converted


_NETWORKS = (".keras", ".h5", ".hdf5", ".tflite")  # of files that hold a network; a SavedModel is a folder


@click.command()
@click.argument("source", metavar="RUN|SAVED_MODEL|KERAS_FILE|FLOAT_TFLITE", type=click.Path(path_type=Path))
@click.option("--variants", metavar="A,B,...", default="", help="Or all; default, the recipe's own list.")
@click.option(
    "--calibration",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Labelled radiographs for quantisation to see. Default: the run's train part.",
)
@click.option("--recipe", metavar="NAME|FILE", help="Of no run: the recipe whose preprocessing it was trained with.")
@click.option("--labels", metavar="A,B,...", default="", help="Of no run: what its outputs mean, in order.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Default: RUN/models.")
@click.option("--json", "as_json", is_flag=True, help="Print conversion.json instead of a table.")
def convert(
    source: Path,
    variants: str,
    calibration: Path | None,
    recipe: str | None,
    labels: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Turn a trained classifier into quantised files that pass the gate.

    Each variant is compared with the original on every validation image; one that loses more than the
    recipe allows is not written, the reason is printed, and the exit code is 3. Of a router each
    stage is converted, and where all of them pass they become one file. A run may also be the folder
    of a recipe with alternatives; each of its runs is converted.

    A classifier that another program trained needs --calibration, of whose images half are compared,
    and --out; to open one from strangers is to run their program.
    """
    asked = tuple(name for name in variants.split(",") if name)
    if (source / "saved_model.pb").is_file() or source.suffix.lower() in _NETWORKS:
        found = _convert_network(source, asked, calibration, recipe, labels, out)
    else:
        found = _convert_runs(source, asked, calibration, recipe or labels, out)
    if as_json:
        summaries = [one.summary for one in found]
        click.echo(json.dumps(summaries[0] if len(summaries) == 1 else summaries, indent=2))
    else:
        for one in found:
            _print(one)
    refused = [
        f"{one.title}{_place(result)} ({result.reasons})"
        for one in found
        for result in one.results
        if not result.verdict.passed
    ]
    if refused:
        raise GateRefusal(f"refused and not written: {', '.join(refused)}")


@dataclass(frozen=True)
class _Found:
    """The conversion of one classifier."""

    name: str
    title: str  # before each of its variants, where there are several classifiers
    results: "list[Converted]"
    summary: Any  # content of conversion.json


def _convert_network(
    path: Path, variants: tuple[str, ...], data: Path | None, recipe: str | None, labels: str, out: Path | None
) -> list[_Found]:
    if data is None or out is None:
        raise UsageError(f"{path} is no run: name labelled radiographs by --calibration and a folder by --out")
    from ..convert import chosen_variants
    from ..convert import convert as convert_subject
    from ..sources.foreign import foreign_subject

    chosen_variants(variants, ())  # before anything is loaded
    subject = foreign_subject(path, data, recipe, tuple(name for name in labels.split(",") if name))
    return [_Found(subject.name, "", convert_subject(subject, variants, out), _summary(out))]


def _convert_runs(
    folder: Path, variants: tuple[str, ...], data: Path | None, refused: str | None, out: Path | None
) -> list[_Found]:
    from osteolite.train.runs.run_folder import open_runs

    from ..convert import chosen_variants
    from ..convert import convert as convert_subject
    from ..router import convert_router
    from ..sources.subject import subject_of

    opened = open_runs(folder)
    if refused:
        raise UsageError(f"{folder} is a run, which knows its own recipe and labels; leave --recipe and --labels out")
    found = []
    for one in opened:
        several = len(opened) > 1
        target = (out / one.folder.name if several else out) if out else one.path("models")
        if one.is_router:
            if data is not None:
                raise UsageError(
                    f"{folder} is a router, whose stages see their own train parts; leave --calibration out"
                )
            results = convert_router(one, variants, target)
        else:
            chosen_variants(variants, ())  # before anything is loaded
            results = convert_subject(subject_of(one, data), variants, target)
        title = f"{one.folder.name}: " if several else ""
        found.append(_Found(one.recipe.name, title, results, _summary(target)))
    return found


def _summary(folder: Path) -> Any:
    return json.loads((folder / "conversion.json").read_text(encoding="utf-8"))


def _place(result: "Converted") -> str:
    return f"{result.stage} {result.variant}" if result.stage else result.variant


def _print(found: _Found) -> None:
    from osteolite.train.console import print_table

    from ..gate.gate import Verdict

    rows = []
    for result in found.results:
        verdict = result.verdict
        if isinstance(verdict, Verdict):
            figure, change, sensitivity = "AUROC", verdict.auroc, f"{verdict.sensitivity.value:+.4f}"
        else:
            figure, change, sensitivity = "balanced accuracy", verdict.balanced_accuracy, ""
        rows.append(
            [
                _place(result),
                f"{result.size / 1e6:.2f}",
                f"{result.compressed / 1e6:.2f}",
                figure,
                f"{change.value:+.4f}",
                f"{change.low:+.4f} to {change.high:+.4f}",
                sensitivity,
                f"{verdict.agreement:.1%}",
                f"{verdict.flips.broken} / {verdict.flips.mended}",
                f"{verdict.flips.p:.2f}",
                "passed" if verdict.passed else "refused",
            ]
        )
    figures = ["figure", "change", "95 % interval", "sensitivity change"]
    columns = ["variant", "MB", "packed", *figures, "agreement", "broken / mended", "p", "verdict"]
    print_table(f"The gate, on the validation part of {found.name}", columns, rows)
