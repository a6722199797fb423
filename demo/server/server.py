"""The page's server: what it may keep, where it listens, how it ends."""

import inspect
import os
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from osteolite.edge.errors import UsageError
from osteolite.edge.silence import quiet_stderr

from ..page.answer_card import NOTE
from ..service.examples import example_files
from ..service.model_set import LIMITS, ModelSet
from .allowed_paths import KnownPaths
from .log_privacy import without_messages
from .login import VARIABLE, Account, check

if TYPE_CHECKING:
    import gradio as gr

LOCAL = "127.0.0.1"
SESSIONS = 256  # that the page keeps something of; the oldest goes first
_STYLE = Path(__file__).parents[1] / "page" / "page.css"


def serve(
    models: Iterable[str] = (),
    port: int | None = None,
    share: bool = False,
    account: Account | None = None,
    examples: Path | None = None,
) -> None:
    """Serve the page until Ctrl-C or SIGTERM; call it from the main thread.

    It listens on 127.0.0.1, or where the environment's `GRADIO_SERVER_NAME` says.

    Args:
        models: paths of .tflite files; none for the model that ships with the package.
        port: default, the first free one from 7860.
        share: also make a public link through Gradio's servers. Without one the page stays up.
        account: user name and password that the page asks for.
        examples: a folder of images to try; None for drawn ones.

    Raises:
        ModelFileError: a model file cannot be used.
        UsageError: the port is taken, or the examples cannot be used.
        ModuleNotFoundError: Gradio is not installed.
    """
    host = os.environ.get("GRADIO_SERVER_NAME") or LOCAL
    with quiet_stderr():
        scorer = ModelSet(models)  # before Gradio, which takes seconds to import
    with _environment() as folder, without_messages():
        page = _page(scorer, examples, folder, live=host == LOCAL and not share)
        try:
            _launch(page, host, port, account)
            _say(page, host, account)
            if share:
                _share(page, folder)
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:  # how this server ends
            pass
        finally:
            page.close(verbose=False)


def _page(scorer: ModelSet, examples: Path | None, folder: Path, live: bool) -> "gr.Blocks":
    (folder / "examples").mkdir()
    offered = example_files(examples, folder / "examples")
    with _no_stubs():
        import gradio  # noqa: F401 - the first import is what `_no_stubs` guards
    from ..page.page import build_page

    return build_page(scorer, offered, live)


@contextmanager
def _environment() -> Iterator[Path]:
    """Settings that Gradio reads when it is imported, and a private folder for uploads, gone at the end."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # After each request Gradio would sum up the last 10,000 of them, for a page that is not served.
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"], os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1", str(10**9)
    os.environ.pop(VARIABLE, None)  # read by now, and of no use to the programs that Gradio starts
    for name in ("NO_PROXY", "no_proxy"):  # Gradio asks its own page whether it is up
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), LOCAL, "localhost")))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, with the uploads deleted
    try:
        with tempfile.TemporaryDirectory(prefix="osteolite-demo-", ignore_cleanup_errors=True) as folder:
            os.environ["GRADIO_TEMP_DIR"] = str(Path(folder) / "uploads")
            yield Path(folder)
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _no_stubs() -> Iterator[None]:
    """Gradio writes a stub file of each of its components whenever it is imported, half the time that takes.

    It leaves that for a component whose source file cannot be told.
    """
    before = inspect.getfile

    def getfile(thing: Any) -> str:
        if str(getattr(thing, "__module__", "")).startswith("gradio."):
            raise OSError("not asked for")
        return before(thing)

    inspect.getfile = getfile  # type: ignore[assignment]  # the name of its parameter differs
    try:
        yield
    finally:
        inspect.getfile = before


def _launch(page: "gr.Blocks", host: str, port: int | None, account: Account | None) -> None:
    import gradio as gr
    from starlette.middleware import Middleware

    # Gradio's default asks for the weight 600 of this font, of which it ships a handful of letters.
    font = (gr.themes.LocalFont("Source Sans Pro", weights=(400, 700)), "system-ui", "sans-serif")
    try:
        page.launch(
            server_name=host,
            server_port=port,
            auth=check(account) if account else None,
            auth_message=NOTE if account else None,
            share=False,
            app_kwargs={"middleware": [Middleware(KnownPaths)]},
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
        raise UsageError(f"{taken} taken; name another with --port") from error


def _say(page: "gr.Blocks", host: str, account: Account | None) -> None:
    reach = "this machine alone" if host == LOCAL else f"for all who reach {host}, as GRADIO_SERVER_NAME says"
    guarded = "; it asks for name and password" if account else ""
    click.echo(f"Osteolite's page: {page.local_url}  ({reach}{guarded}; Ctrl-C ends it)")
    click.echo(NOTE)


def _share(page: "gr.Blocks", folder: Path) -> None:
    """Make the public link, or say in one line that there is none.

    Not by `launch(share=True)`: that makes the tunnel, which may take a minute, before a person
    can be told of the local page, and hides why it failed.
    """
    click.echo("Asking Gradio's servers for a public link ...")
    try:
        from gradio import networking

        networking.CERTIFICATE_PATH = str(folder / "certificate.pem")  # not into the folder that a person works in
        address = networking.setup_tunnel(page.server_name, page.server_port, page.share_token, None, None)
    except Exception as error:  # the network, a firewall, a download, a certificate, a program that does not start
        reason = " ".join(str(error.__cause__ or error).split()) or type(error).__name__
        click.echo(
            f"osteolite: no public link ({reason}); the page stays up on this machine alone. "
            "Check the internet connection, proxy and firewall, and start again",
            err=True,
        )
        return
    who = "whoever has it and the password" if page.auth else "whoever has it"
    click.echo(f"Public link: https://{address.partition('://')[2]}  ({who} can use the page)")
