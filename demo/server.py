"""The page's server: what it may keep, where it listens, how it ends."""

import os
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from osteolite.edge.errors import UsageError
from osteolite.edge.quiet import quiet_stderr

from .card import CSS, NOTE
from .scorer import LIMITS, Scorer

if TYPE_CHECKING:
    import gradio as gr

HOST = "127.0.0.1"
SESSIONS = 16  # whose last upload is kept for another model; the oldest goes first


def serve(models: Iterable[str] = (), port: int | None = None, share: bool = False) -> None:
    """Serve the page until Ctrl-C or SIGTERM; call it from the main thread.

    Args:
        models: paths of .tflite files; none for the model that ships with the package.
        port: on 127.0.0.1; default, the first free one from 7860.
        share: also make a public link through Gradio's servers. Without one the page stays up.

    Raises:
        ModelFileError: a model file cannot be used.
        UsageError: the port is taken.
        ModuleNotFoundError: Gradio is not installed.
    """
    with quiet_stderr():
        scorer = Scorer(models)  # before Gradio, which takes seconds to import
    with _environment():
        from .page import build_page

        page = build_page(scorer)
        try:
            _launch(page, port)
            click.echo(f"Osteolite's page: {page.local_url}  (this machine alone; Ctrl-C ends it)")
            click.echo(NOTE)
            if share:
                _share(page)
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:  # how this server ends
            pass
        finally:
            page.close(verbose=False)


@contextmanager
def _environment() -> Iterator[None]:
    """Settings that Gradio reads when it is imported, and a private folder for uploads, gone at the end."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    for name in ("NO_PROXY", "no_proxy"):  # Gradio asks its own page whether it is up
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), HOST)))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, with the uploads deleted
    try:
        with tempfile.TemporaryDirectory(prefix="osteolite-demo-", ignore_cleanup_errors=True) as folder:
            os.environ["GRADIO_TEMP_DIR"] = folder
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _launch(page: "gr.Blocks", port: int | None) -> None:
    import gradio as gr

    # Gradio's default asks for the weight 600 of this font, of which it ships a handful of letters.
    font = (gr.themes.LocalFont("Source Sans Pro", weights=(400, 700)), "system-ui", "sans-serif")
    try:
        page.launch(
            server_name=HOST,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_threads=8,
            max_file_size=LIMITS.max_bytes,
            state_session_capacity=SESSIONS,
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            ssr_mode=False,
            pwa=False,
            footer_links=["api"],
            theme=gr.themes.Default(primary_hue="teal", font=font),
            css=CSS,
            head='<meta name="robots" content="noindex">',
        )
    except OSError as error:
        taken = f"port {port} of {HOST} is" if port else f"all ports of {HOST} that Gradio tried are"
        raise UsageError(f"{taken} taken; name another with --port") from error


def _share(page: "gr.Blocks") -> None:
    """Make the public link, or say in one line that there is none.

    Not by `launch(share=True)`: that makes the tunnel, which may take a minute, before a person
    can be told of the local page, and hides why it failed.
    """
    click.echo("Asking Gradio's servers for a public link ...")
    try:
        from gradio.networking import setup_tunnel

        address = setup_tunnel(page.server_name, page.server_port, page.share_token, None, None)
    except Exception as error:  # the network, a firewall, a download, a certificate, a program that does not start
        reason = " ".join(str(error.__cause__ or error).split()) or type(error).__name__
        click.echo(
            f"osteolite: no public link ({reason}); the page stays up on this machine alone. "
            "Check the internet connection, proxy and firewall, and start again",
            err=True,
        )
        return
    click.echo(f"Public link: https://{address.partition('://')[2]}  (whoever has it can use the page)")
