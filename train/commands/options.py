"""Options that several commands share."""

import click

WEIGHTS = click.option(
    "--weights",
    metavar="imagenet|none|PATH",
    help="Starting weights, as an .h5 file or the folder of an earlier run; default, the recipe's.",
)
SEED = click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of everything random.")
STRATEGY = click.option(
    "--strategy",
    default="none",
    show_default=True,
    metavar="none|mirrored|multiworker",
    help="Train on several GPUs, or on the workers that the variable TF_CONFIG lists.",
)
ALLOW_LEAKS = click.option("--allow-leaks", is_flag=True, help="Train even where the data's own split leaks.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
