"""`osteolite demo`: the page on this machine, and a public link to it when asked for."""

import click


@click.command()
@click.option(
    "--model",
    "models",
    metavar="FILE",
    multiple=True,
    help="A .tflite file; repeat it and the page lets a person choose. Default, the model that ships with the package.",
)
@click.option("--port", metavar="N", type=click.IntRange(1, 65535), help="Default, the first free one from 7860.")
@click.option(
    "--share",
    is_flag=True,
    help="Also make a public link through Gradio's servers, good for a week at most: whoever has it can use the page, "
    "and what they upload passes through those servers. Downloads Gradio's tunnel program on first use.",
)
def demo(models: tuple[str, ...], port: int | None, share: bool) -> None:
    """Serve a page that scores uploaded radiographs.

    It listens on 127.0.0.1, this machine alone, until Ctrl-C. Uploads are kept for minutes and
    written to no log. Research use only: no diagnosis.
    """
    from .server import serve

    serve(models, port, share)
