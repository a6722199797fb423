"""`osteolite run`."""

import click

from osteolite.edge.cli import load_command

from .options import ALLOW_LEAKS, SEED, WEIGHTS


@click.command()
@click.argument("data", metavar="[DATA]", required=False)
@click.option("--recipe", default=None, metavar="NAME|FILE", help="Default: phantoms, if DATA is not given.")
@click.option("--out", metavar="RUN", help="The run folder; default, runs/RECIPE.")
@WEIGHTS
@SEED
@ALLOW_LEAKS
@click.option("--image", metavar="FILE", help="A radiograph for the last step, about which the shipped model is asked.")
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
    """Train, convert, gate, benchmark and try a model in one go.

    Without DATA it draws radiograph phantoms and trains on those. Each step is a command of its
    own, printed as you would type it.
    """
    from ..workflows.end_to_end import run_all_steps

    if data is not None and recipe is None:
        raise click.UsageError("DATA needs a --recipe, for instance --recipe fracatlas_mobilenetv2")
    run_all_steps(ctx, load_command, data, recipe or "phantoms", out, weights, seed, allow_leaks, image)
