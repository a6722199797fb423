"""Options of the commands that score images."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..modelfile.shipped import DEFAULT, SHIPPED, shipped_model

if TYPE_CHECKING:
    from ..prediction.classifier import FractureClassifier
    from ..prediction.router import Router


class ModelArgument(click.ParamType):  # type: ignore[type-arg]  # not generic in click below 8.2
    """A model on the command line: a file, or the name of a shipped model if there is no file of that name."""

    name = "model"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(shipped_model(value)) if value in SHIPPED and not os.path.exists(value) else str(value)


MODEL = ModelArgument()
MODEL_HELP = f"A .tflite file, or one that ships with the package: {', '.join(SHIPPED)}; default, {DEFAULT}."

_OPTIONS = (
    click.option("--model", type=MODEL, metavar="FILE|NAME", help=MODEL_HELP),
    click.option("--threads", type=click.IntRange(1), help="CPU threads; default, all cores, at most 4 for one image."),
    click.option(
        "--delegate",
        metavar="NAME",
        help="Delegate that runs the network: auto, cpu, xnnpack, gpu, nnapi, edgetpu, or PATH.so[:key=value...]; "
        "default, the runtime's own choice on the CPU.",
    ),
    click.option("--fallback", is_flag=True, help="Run on the CPU, with a warning, if the delegate is unavailable."),
    click.option("--any-modality", is_flag=True, help="Score DICOM files of any modality, not only CR, DR, DX and RG."),
    click.option("--max-bytes", type=click.IntRange(1), help="Largest file to read; default 256 MiB."),
    click.option("--max-pixels", type=click.IntRange(1), help="Largest image to read; default 64 million pixels."),
    click.option(
        "--max-seconds",
        type=click.FloatRange(0, min_open=True),
        help="Longest decoding time; default 30 s.",
    ),
)


def scorer_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `open_scorer` takes to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def open_scorer(
    model: str | None, threads: int | None, delegate: str | None, fallback: bool, any_modality: bool, **limits: Any
) -> "FractureClassifier | Router":
    """Open the model as the options say, and print a warning if the CPU replaces an unavailable delegate."""
    from ..imaging.limits import Limits
    from ..prediction.router import open_classifier
    from ..silence import quiet_stderr

    given = {name: value for name, value in limits.items() if value is not None}
    if any_modality:
        given["modalities"] = None
    with quiet_stderr():
        scorer = open_classifier(model, threads, Limits(**given), delegate, fallback)
    if warning := scorer.session.delegation.warning:
        click.echo(f"osteolite: warning: {warning}", err=True)
    return scorer
