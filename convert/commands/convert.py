"""`osteolite convert`."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from osteolite.edge.errors import GateRefusal, UsageError

if TYPE_CHECKING:
    from osteolite.train.runs.run_folder import Run

    from ..convert import Converted


_NETWORKS = (".keras", ".h5", ".hdf5", ".tflite")  # suffixes of network files; a SavedModel is a folder


@click.command()
@click.argument("source", metavar="RUN|SAVED_MODEL|KERAS_FILE|FLOAT_TFLITE", type=click.Path(path_type=Path))
@click.option("--variants", metavar="A,B,...", default="", help="Variants, or all. Default: the recipe's own list.")
@click.option(
    "--calibration",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Labelled radiographs as calibration data. Default: the run's training split.",
)
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    help="For another program's network: a recipe with the preprocessing that it was trained with.",
)
@click.option(
    "--labels", metavar="A,B,...", default="", help="For another program's network: what its outputs mean, in order."
)
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
    """Convert a trained classifier to quantised files that pass the gate.

    Each variant is compared with the original on every validation image. A variant that loses more
    than the recipe allows is not written; the reason is printed, and the exit code is 3. Each stage
    of a router is converted, and if all stages of a variant pass, they become one file. For the folder
    of a recipe with alternatives, each of its runs is converted.

    A classifier that another program trained needs --out, and --calibration with labelled
    radiographs: half of them are calibration data, and the variants are compared on the other half.
    Opening a network from an unknown source means running its code.
    """
    requested = tuple(name for name in variants.split(",") if name)
    if (source / "saved_model.pb").is_file() or source.suffix.lower() in _NETWORKS:
        conversions = [_convert_network(source, requested, calibration, recipe, labels, out)]
    else:
        from osteolite.train.runs.run_folder import open_runs

        runs = open_runs(source)
        if recipe or labels:
            raise UsageError(f"{source} is a run and has its own recipe and labels; omit --recipe and --labels")
        conversions = convert_runs(runs, requested, calibration, out)
    conclude(conversions, as_json)


@dataclass(frozen=True)
class Conversion:
    """The conversion of one classifier."""

    name: str
    title: str  # prefix of its variants in messages; empty for a single classifier
    results: "list[Converted]"
    summary: Any  # content of conversion.json


def conclude(conversions: list[Conversion], as_json: bool) -> None:
    """Print the results.

    Raises:
        GateRefusal: a variant was refused; the message lists all refused ones with their reasons.
    """
    if as_json:
        summaries = [one.summary for one in conversions]
        click.echo(json.dumps(summaries[0] if len(summaries) == 1 else summaries, indent=2))
    else:
        for one in conversions:
            _print(one)
    refused = [
        f"{one.title}{_place(result)} ({result.reasons})"
        for one in conversions
        for result in one.results
        if not result.verdict.passed
    ]
    if refused:
        raise GateRefusal(f"refused and not written: {', '.join(refused)}")


def _convert_network(
    path: Path, variants: tuple[str, ...], data: Path | None, recipe: str | None, labels: str, out: Path | None
) -> Conversion:
    if data is None or out is None:
        raise UsageError(
            f"{path} is not a run; name a folder of labelled radiographs by --calibration and a target by --out"
        )
    from ..convert import chosen_variants
    from ..convert import convert as convert_subject
    from ..sources.foreign import foreign_subject

    chosen_variants(variants, ())  # an unknown variant fails before the slow loading
    subject = foreign_subject(path, data, recipe, tuple(name for name in labels.split(",") if name))
    return Conversion(subject.name, "", convert_subject(subject, variants, out), _summary(out))


def convert_run(run: "Run", variants: tuple[str, ...], data: Path | None, out: Path) -> "list[Converted]":
    """Convert a run of one network, or of a router.

    Args:
        run: a finished run.
        variants: names of variants, or "all"; empty, the recipe's own list.
        data: a folder of labelled radiographs as calibration data; None, the run's training split.
        out: the folder for the released files.

    Raises:
        UsageError: a variant is unknown, or calibration data was given for a router.
    """
    from ..convert import chosen_variants
    from ..convert import convert as convert_subject
    from ..router import convert_router
    from ..sources.subject import subject_of

    if not run.is_router:
        chosen_variants(variants, ())  # an unknown variant fails before the slow loading
        return convert_subject(subject_of(run, data), variants, out)
    if data is not None:
        raise UsageError(
            f"{run.folder} is a router, whose stages use their own training splits as calibration data; "
            "omit --calibration"
        )
    return convert_router(run, variants, out)


def convert_runs(
    runs: "list[Run]",
    variants: tuple[str, ...],
    data: Path | None,
    out: Path | None,
    convert_run: "Callable[[Run, tuple[str, ...], Path | None, Path], list[Converted]]" = convert_run,
) -> list[Conversion]:
    """Convert each run into its folder `models`, or with several runs into a subfolder of `out` for each."""
    conversions = []
    for run in runs:
        several = len(runs) > 1
        target = (out / run.folder.name if several else out) if out else run.path("models")
        results = convert_run(run, variants, data, target)
        title = f"{run.folder.name}: " if several else ""
        conversions.append(Conversion(run.recipe.name, title, results, _summary(target)))
    return conversions


def _summary(folder: Path) -> Any:
    return json.loads((folder / "conversion.json").read_text(encoding="utf-8"))


def _place(result: "Converted") -> str:
    return f"{result.stage} {result.variant}" if result.stage else result.variant


def _print(conversion: Conversion) -> None:
    from osteolite.train.console import print_table

    metrics = ["metric", "change", "95 % interval", "sensitivity change"]
    columns = ["variant", "MB", "MB compressed", *metrics, "agreement", "broken / mended", "p", "verdict"]
    rows = [_row(result) for result in conversion.results]
    print_table(f"The gate, on the validation split of {conversion.name}", columns, rows)


def _row(result: "Converted") -> list[str]:
    from ..gate.gate import Verdict

    verdict = result.verdict
    if isinstance(verdict, Verdict):
        metric, change, sensitivity = "AUROC", verdict.auroc, f"{verdict.sensitivity.value:+.4f}"
    else:
        metric, change, sensitivity = "balanced accuracy", verdict.balanced_accuracy, ""
    return [
        _place(result),
        f"{result.size / 1e6:.2f}",
        f"{result.compressed / 1e6:.2f}",
        metric,
        f"{change.value:+.4f}",
        f"{change.low:+.4f} to {change.high:+.4f}",
        sensitivity,
        f"{verdict.agreement:.1%}",
        f"{verdict.flips.broken} / {verdict.flips.mended}",
        f"{verdict.flips.p:.2f}",
        "passed" if verdict.passed else "refused",
    ]
