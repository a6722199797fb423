"""The command line `osteolite`.

Each command is one entry of `COMMANDS`. Its module is imported when the command is called, and heavy packages are
imported inside its function: `osteolite predict` never loads TensorFlow, and `--help` loads no heavy package.
"""

import sys
from importlib import import_module
from typing import Any

import click

from .errors import MissingExtra, OsteoliteError

# name: (module, extra that installs its dependencies, one line of help)
COMMANDS: dict[str, tuple[str, str | None, str]] = {
    "run": ("osteolite.train.commands.run", "all", "Train, convert, gate, benchmark and try a model in one go."),
    "recipes": ("osteolite.train.commands.recipes", "train", "List the recipes."),
    "audit": ("osteolite.train.commands.audit", "train", "Find leaks, duplicates and confounders in a data set."),
    "train": ("osteolite.train.commands.train", "train", "Train a recipe on labelled radiographs."),
    "crossval": ("osteolite.train.commands.crossval", "train", "Cross-validate a recipe on labelled radiographs."),
    "evaluate": (
        "osteolite.train.commands.evaluate",
        "train",
        "Measure the accuracy of a model file or a run on labelled radiographs.",
    ),
    "explain": ("osteolite.train.commands.explain", "train", "Draw which image regions a run's predictions come from."),
    "compare": ("osteolite.train.commands.compare", "train", "Compare runs, with paired confidence intervals."),
    "convert": (
        "osteolite.convert.commands.convert",
        "convert",
        "Convert a run, or another classifier, to quantised model files that pass the gate.",
    ),
    "tune": (
        "osteolite.convert.commands.tune",
        "all",
        "Search width, input size and variant for this device.",
    ),
    "predict": ("osteolite.edge.commands.predict", None, "Score radiographs with a model file."),
    "watch": ("osteolite.edge.commands.watch", None, "Score each radiograph that arrives in a folder."),
    "bench": ("osteolite.benchmarks.commands", "bench", "Measure model files on this machine."),
    "demo": ("osteolite.demo.commands", "demo", "Serve a page that scores uploaded radiographs."),
    "phone": ("osteolite.demo.phone.commands", "phone", "Build a page that scores radiographs in a phone's browser."),
    "inspect": ("osteolite.edge.commands.inspect", None, "Show the description and structure of a model file."),
    "doctor": ("osteolite.edge.commands.doctor", None, "Show what is installed on this machine and whether it works."),
}


class LazyGroup(click.Group):
    """A group that lists commands without importing them and prints the package's errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (OsteoliteError, ModuleNotFoundError) as error:
            if ctx.params["debug"]:
                raise
            if isinstance(error, ModuleNotFoundError):
                error = _missing_extra(error, ctx.invoked_subcommand)
            click.echo(f"osteolite: {error}", err=True)
            ctx.exit(error.exit_code)


def load_command(name: str) -> click.Command:
    """Import the module of a command and return the command."""
    command: click.Command = getattr(import_module(COMMANDS[name][0]), name)
    return command


def _missing_extra(error: ModuleNotFoundError, command: str | None) -> OsteoliteError:
    extra = COMMANDS[command][1] if command else None
    if extra is None or (error.name or "").startswith("osteolite"):
        raise error
    return MissingExtra(
        f"`osteolite {command}` needs the package {error.name}, which is not installed; "
        f"pip install 'osteolite[{extra}]'"
    )


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="osteolite", prog_name="osteolite")
def cli(debug: bool) -> None:
    """From a folder of labelled X-rays to a fracture classifier on a Raspberry Pi, in a browser and
    behind a shared link. Research use only: no medical device.

    Exit codes: 0, all done; 1, some inputs failed and the others are done; 2, the call was wrong;
    3, refused by the gate or the audit.
    """


def main() -> None:
    # File names may hold bytes that are not valid text. Print them escaped instead of failing.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    cli(prog_name="osteolite")
