"""`osteolite run`."""

import click

from osteolite.edge.cli import load_command

from .options import ALLOW_LEAKS, SEED, WEIGHTS


@click.command()
@click.argument("data", metavar="[DATA]", required=False)
@click.option(
    "--recipe",
    default=None,
    metavar="NAME|FILE",
    help="Recipe or TOML file. Default without DATA: phantoms.",
)
@click.option("--out", metavar="RUN", help="The run folder. Default: runs/RECIPE.")
@WEIGHTS
@SEED
@ALLOW_LEAKS
@click.option("--image", metavar="FILE", help="A radiograph for the last step, predicted with the shipped model.")
@click.pass_context
def run(
    ctx: click.Context,
    data: str | None,
    recipe: str | None,
    out: str | None,
    weights: str | None,
    seed: int,
    allow_leaks: bool,
    image: str | None,
) -> None:
    """Train, convert, check, benchmark and try a model in one command.

    Without DATA, radiograph phantoms are drawn and used for training. Each step is a separate command and is
    printed as you would type it.
    """
    from ..workflows.end_to_end import run_all_steps

    if data is not None and recipe is None:
        raise click.UsageError("DATA needs a --recipe, for instance --recipe fracatlas_mobilenetv2")
    run_all_steps(ctx, load_command, data, recipe or "phantoms", out, weights, seed, allow_leaks, image)
