"""`osteolite demo`: help, error messages and the public link."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from gradio.tunneling import BINARY_FILENAME
from gradio_client import Client, handle_file
from PIL import Image

from osteolite.edge.cli import cli

pytestmark = pytest.mark.slow

UNREACHABLE = "http://127.0.0.1:9"  # the discard port: nothing listens


def osteolite(*arguments: str | Path, code: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` and then the command line in a separate process."""
    program = f"import sys\n{code}\nfrom osteolite.edge.cli import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )


def own_lines(text: str) -> list[str]:
    """The lines of standard error that are not from the runtime."""
    return [line for line in text.splitlines() if not line.startswith("INFO: ")]


def test_help_describes_every_option_and_loads_no_heavy_package() -> None:
    code = """import atexit
atexit.register(lambda: print("loaded:", sorted({"gradio", "numpy", "PIL", "tensorflow"} & set(sys.modules))))"""
    done = osteolite("demo", "--help", code=code)
    assert done.returncode == 0
    assert done.stdout.endswith("loaded: []\n")
    text = " ".join(done.stdout.split())
    for part in (
        "--model FILE",
        "--port N",
        "--share",
        "public link through Gradio's servers",
        "--auth USER:PASSWORD",
        "Other users of this machine can see a password on the command line",
        "--examples FOLDER",
        "--space DIR",
        "no diagnosis",
    ):
        assert part in text


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_unusable_model_file_is_reported_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.tflite"
    if content is not None:
        path.write_bytes(content)
    done = CliRunner().invoke(cli, ["demo", "--model", str(path)])
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"osteolite: {path}: ")


@pytest.mark.parametrize("option", [["--auth", "ada"], ["--auth-file", "missing"], []])
def test_malformed_account_is_an_error_instead_of_an_open_page(option: list[str]) -> None:
    done = CliRunner().invoke(cli, ["demo", *option], env={"OSTEOLITE_AUTH": ""})
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert "USER:PASSWORD" in line


def test_empty_examples_folder_is_reported_in_one_line(tiny_model: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["demo", "--model", str(tiny_model), "--examples", str(tmp_path)])
    assert done.exit_code == 2
    assert "has no readable image (it is empty)" in done.stderr.splitlines()[-1]


def test_missing_gradio_names_the_extra_to_install(tiny_model: Path) -> None:
    done = osteolite("demo", "--model", tiny_model, code="sys.modules['gradio'] = None")
    assert done.returncode == 2
    (line,) = own_lines(done.stderr)
    assert "pip install 'osteolite[demo]'" in line


def test_taken_port_is_reported_in_one_line(tiny_model: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = osteolite("demo", "--model", tiny_model, "--port", str(port))
    assert done.returncode == 2
    assert own_lines(done.stderr) == [f"osteolite: port {port} of 127.0.0.1 is taken; choose another with --port"]


def test_page_stays_up_when_the_public_link_fails(run_demo: Any, tiny_model: Path, tmp_path: Path, encode: Any) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(encode(Image.new("L", (50, 50), 200), "PNG"))
    dead = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), UNREACHABLE)
    with run_demo(tmp_path, "--model", tiny_model, "--share", **dead) as server:
        log = server.wait_for("no public link")
        (line,) = [line for line in log.splitlines() if "no public link" in line]
        assert line.startswith("osteolite: no public link (")
        assert "the page stays up" in line
        client = Client(server.url, verbose=False)
        assert client.predict(image=handle_file(image), api_name="/predict")["label"] == "fractured"
        client.close()
        assert server.stop(signal.SIGINT) == 0


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Gradio's tunnel program is a shell script")
def test_public_link_is_printed(run_demo: Any, tiny_model: Path, tmp_path: Path) -> None:
    tunnel = tmp_path / "hf" / "gradio" / "frpc" / BINARY_FILENAME
    tunnel.parent.mkdir(parents=True)
    tunnel.write_text("#!/bin/sh\necho 'start proxy success: http://stand-in.invalid'\nexec sleep 600\n")
    tunnel.chmod(0o755)
    with run_demo(tmp_path, "--model", tiny_model, "--share", GRADIO_SHARE_SERVER_ADDRESS="127.0.0.1:9") as server:
        assert "Public link: https://stand-in.invalid " in server.wait_for("Public link")
        assert server.stop() == 0
