"""The page's server: start, public link and clean end."""

import os
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from osteolite.edge.errors import UsageError
from osteolite.edge.silence import quiet_stderr

from ..page.answer_card import NOTE
from ..service.examples import example_files
from ..service.model_set import LIMITS, ModelSet
from ..service.uploads import FILE_SECONDS
from .allowed_paths import AllowedPaths
from .log_privacy import without_messages
from .login import VARIABLE, Account, account_check

if TYPE_CHECKING:
    import gradio as gr

LOCAL = "127.0.0.1"
SESSIONS = 256  # sessions whose state Gradio keeps; the oldest is dropped first
_STYLE = Path(__file__).parents[1] / "page" / "page.css"


def serve(
    model_files: Iterable[str] = (),
    port: int | None = None,
    share: bool = False,
    account: Account | None = None,
    examples: Path | None = None,
    file_seconds: int = FILE_SECONDS,
) -> None:
    """Serve the page until Ctrl-C or SIGTERM. Call it from the main thread.

    The server listens on 127.0.0.1, or on the address in the environment variable `GRADIO_SERVER_NAME`.

    Args:
        model_files: .tflite files; none means the shipped model.
        port: None means the first free port from 7860.
        share: also make a public link through Gradio's servers. If that fails, the page stays up.
        account: user name and password that the page requires.
        examples: a folder of example images; None means drawn phantoms.
        file_seconds: seconds until an uploaded file is deleted, at least 2.

    Raises:
        ModelFileError: a model file cannot be used.
        UsageError: the port is taken, or the examples cannot be used.
        ModuleNotFoundError: Gradio is not installed.
    """
    host = os.environ.get("GRADIO_SERVER_NAME") or LOCAL
    with quiet_stderr():
        models = ModelSet(model_files)  # before Gradio, which takes seconds to import
    with _gradio_environment() as folder, without_messages():
        (folder / "examples").mkdir()
        offered = example_files(examples, folder / "examples")
        from ..page.page import build_page

        page = build_page(models, offered, host == LOCAL and not share, file_seconds)
        try:
            _launch(page, host, port, account)
            _announce(page, host, account)
            if share:
                _open_public_link(page, folder)
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:  # the usual end
            pass
        finally:
            page.close(verbose=False)


@contextmanager
def _gradio_environment() -> Iterator[Path]:
    """Set the variables that Gradio reads on import, and make a private folder for uploads, deleted at the end."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # After each request Gradio would summarise the last 10,000 requests for a page that is not served here.
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"], os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1", str(10**9)
    os.environ.pop(VARIABLE, None)  # already read; child processes must not see it
    for name in ("NO_PROXY", "no_proxy"):  # Gradio requests its own page to see whether it is up
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), LOCAL, "localhost")))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, with the uploads deleted
    try:
        with tempfile.TemporaryDirectory(prefix="osteolite-demo-", ignore_cleanup_errors=True) as folder:
            os.environ["GRADIO_TEMP_DIR"] = str(Path(folder) / "uploads")
            yield Path(folder)
    finally:
        signal.signal(signal.SIGTERM, before)


def _launch(page: "gr.Blocks", host: str, port: int | None, account: Account | None) -> None:
    import gradio as gr
    from starlette.middleware import Middleware

    # Gradio's default theme requests this font in weight 600, for which it ships only a few letters.
    font = (gr.themes.LocalFont("Source Sans Pro", weights=(400, 700)), "system-ui", "sans-serif")
    try:
        page.launch(
            server_name=host,
            server_port=port,
            auth=account_check(account) if account else None,
            auth_message=NOTE if account else None,
            share=False,
            app_kwargs={"middleware": [Middleware(AllowedPaths)]},
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
            css_paths=_STYLE,
            head='<meta name="robots" content="noindex">',
        )
    except OSError as error:
        taken = f"port {port} of {host} is" if port else f"all ports of {host} that Gradio tried are"
        raise UsageError(f"{taken} taken; choose another with --port") from error


def _announce(page: "gr.Blocks", host: str, account: Account | None) -> None:
    reach = "this machine only" if host == LOCAL else f"everyone who reaches {host}, set by GRADIO_SERVER_NAME"
    guarded = "; name and password required" if account else ""
    click.echo(f"Osteolite's page: {page.local_url}  ({reach}{guarded}; Ctrl-C ends it)")
    click.echo(NOTE)


def _open_public_link(page: "gr.Blocks", folder: Path) -> None:
    """Make the public link, or report in one line why there is none.

    `launch(share=True)` is not used: it opens the tunnel, which can take a minute, before the local
    address is known, and hides the reason of a failure.
    """
    click.echo("Requesting a public link from Gradio's servers ...")
    try:
        from gradio import networking

        networking.CERTIFICATE_PATH = str(folder / "certificate.pem")  # the default is the working folder
        address = networking.setup_tunnel(page.server_name, page.server_port, page.share_token, None, None)
    except Exception as error:  # network, firewall, download, certificate, or a program that does not start
        reason = " ".join(str(error.__cause__ or error).split()) or type(error).__name__
        click.echo(
            f"osteolite: no public link ({reason}); the page stays up on this machine only. "
            "Check the internet connection, proxy and firewall, and start again",
            err=True,
        )
        return
    who = "whoever has it and the password" if page.auth else "whoever has it"
    click.echo(f"Public link: https://{address.partition('://')[2]}  ({who} can use the page)")
