"""Options that several commands share."""

import click

WEIGHTS = click.option(
    "--weights",
    metavar="imagenet|none|PATH",
    help="Starting weights; PATH is an .h5 file or an earlier run folder. Default: the recipe's setting.",
)
SEED = click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Seed for everything random.")
STRATEGY = click.option(
    "--strategy",
    default="none",
    show_default=True,
    metavar="none|mirrored|multiworker",
    help="Train on several GPUs, or on the workers listed in the variable TF_CONFIG.",
)
ALLOW_LEAKS = click.option("--allow-leaks", is_flag=True, help="Train even if the data's own split leaks.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
