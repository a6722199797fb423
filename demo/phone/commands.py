"""`osteolite phone`: write or serve the page that runs the model in a phone's browser."""

import click

from osteolite.edge.errors import UsageError

from ..commands import models_option


@click.command()
@models_option
@click.option("--out", metavar="DIR", help="Write the page as a folder for any web server.")
@click.option("--serve", is_flag=True, help="Serve the page from this machine until Ctrl-C.")
@click.option("--port", metavar="N", type=click.IntRange(1, 65535), help="Port for --serve. Default: 8080.")
def phone(models: tuple[str, ...], out: str | None, serve: bool, port: int | None) -> None:
    """Make a page that scores radiographs in a phone's browser.

    The radiograph never leaves the phone. The page contains the model and its runtime, and over https
    it needs no network after the first visit. Research use only: no diagnosis.
    """
    if (out is None) == (not serve):
        raise UsageError(
            "give either --out DIR to write the page as a folder, or --serve to serve it from this machine"
        )
    if port is not None and not serve:
        raise UsageError("--port needs --serve; leave it out with --out")
    from .folder import page_contents, write_folder

    if out is None:
        from .server import PORT, serve_page

        serve_page(page_contents(models), port or PORT)
        return
    contents = page_contents(models)
    write_folder(contents, out)
    size = sum(map(len, contents.values())) / 1e6
    click.echo(f"{out}: {len(contents)} files, {size:.1f} MB; copy the folder unchanged to any https server")
