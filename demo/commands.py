"""`osteolite demo`: the page here, a public link to it when asked for, or the page as a folder to publish."""

from pathlib import Path

import click

from osteolite.edge.commands.options import MODEL, MODEL_HELP
from osteolite.edge.errors import UsageError

models_option = click.option(
    "--model",
    "models",
    type=MODEL,
    metavar="FILE|NAME",
    multiple=True,
    help=f"{MODEL_HELP} Repeat it and the page lets a person choose.",
)


@click.command()
@models_option
@click.option("--port", metavar="N", type=click.IntRange(1, 65535), help="Default, the first free one from 7860.")
@click.option(
    "--share",
    is_flag=True,
    help="Also make a public link through Gradio's servers, good for a week at most: whoever has it can use the page, "
    "and what they upload passes through those servers. Downloads Gradio's tunnel program on first use.",
)
@click.option(
    "--auth",
    metavar="USER:PASSWORD",
    help="Ask for this name and password, of API clients too. A password on the command line is seen by others on this "
    "machine: rather set OSTEOLITE_AUTH to the same, or give --auth-file.",
)
@click.option("--auth-file", metavar="FILE", help="Of one line, USER:PASSWORD.")
@click.option(
    "--examples",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Offer its first 12 readable images to whoever sees the page. Default, drawn phantoms.",
)
@click.option(
    "--space",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Serve nothing; write a new folder with page, models and examples that Hugging Face Spaces takes as it is.",
)
def demo(
    models: tuple[str, ...],
    port: int | None,
    share: bool,
    auth: str | None,
    auth_file: str | None,
    examples: Path | None,
    space: Path | None,
) -> None:
    """Serve a page that scores uploaded radiographs.

    It listens on 127.0.0.1, this machine alone, until Ctrl-C. Uploads are kept for minutes and
    written to no log. Research use only: no diagnosis.
    """
    if space is not None:
        if port or share or auth or auth_file:
            raise UsageError(
                "--space serves nothing; leave --port, --share, --auth and --auth-file out "
                "(a Space takes its password from its secret OSTEOLITE_AUTH)"
            )
        from .space import write_space

        write_space(space, models, examples)
        return
    from .server.login import account_of
    from .server.server import serve

    serve(models, port, share, account_of(auth, auth_file), examples)
