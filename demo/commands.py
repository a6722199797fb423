"""`osteolite demo`: serve the page, share it by a public link, or write it as a folder to publish."""

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
    help=f"{MODEL_HELP} Repeat the option to let visitors choose between models.",
)


@click.command()
@models_option
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(1, 65535),
    help="Port of the page. Default: the first free one from 7860.",
)
@click.option(
    "--share",
    is_flag=True,
    help="Also make a public link through Gradio's servers, valid for up to a week. Anyone who has the link can use "
    "the page, and uploads pass through those servers. Downloads Gradio's tunnel program on first use.",
)
@click.option(
    "--auth",
    metavar="USER:PASSWORD",
    help="Require this name and password, from API clients too. Other users of this machine can see a password on the "
    "command line: prefer the variable OSTEOLITE_AUTH or --auth-file.",
)
@click.option("--auth-file", metavar="FILE", help="File with one line, USER:PASSWORD.")
@click.option(
    "--examples",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Offer the folder's first 12 readable images as examples. Default: drawn phantoms.",
)
@click.option(
    "--space",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Instead of serving, write a new folder with the page, models and examples, ready for Hugging Face Spaces.",
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

    The server listens on 127.0.0.1, so only this machine reaches it, and runs until Ctrl-C. Uploads
    are deleted within minutes and never logged. Research use only: no diagnosis.
    """
    if space is not None:
        if port or share or auth or auth_file:
            raise UsageError(
                "--space serves nothing; leave out --port, --share, --auth and --auth-file "
                "(a Space reads its password from its secret OSTEOLITE_AUTH)"
            )
        from .space import write_space

        write_space(space, models, examples)
        return
    from .server.login import read_account
    from .server.server import serve

    serve(models, port, share, read_account(auth, auth_file), examples)
