"""What systemd would hear: a real datagram socket stands for it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from osteolite.edge.watch.systemd import BREATH, Supervisor

SCRIPT = Path(sys.executable).with_name("osteolite")
# The command with a decoder that never comes back from one image.
HANGING = """
import time
from PIL import Image
from osteolite.edge.cli import main
real = Image.open
def hang(*arguments, **options):
    image = real(*arguments, **options)
    if image.size == (13, 13):
        time.sleep(600)
    return image
Image.open = hang
main()
"""


@pytest.fixture(params=["path", "abstract"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The address as systemd would name it, and the socket that hears what is sent there."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@osteolite-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(address.replace("@", "\0", 1) if request.param == "abstract" else address)
        heard.settimeout(60)
        yield address, heard


def hear(heard: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in heard.recv(4096).decode().splitlines())


def test_systemd_hears_each_state(listening: tuple[str, socket.socket]) -> None:
    address, heard = listening
    supervisor = Supervisor(address)
    supervisor.ready("7 scored")
    assert hear(heard) == {"READY": "1", "STATUS": "7 scored"}
    time.sleep(BREATH)
    supervisor.alive("8 scored, 1 waiting")
    assert hear(heard) == {"WATCHDOG": "1", "STATUS": "8 scored, 1 waiting"}
    supervisor.stopping()
    assert hear(heard) == {"STOPPING": "1"}


def test_life_is_told_once_a_second(listening: tuple[str, socket.socket]) -> None:
    address, heard = listening
    supervisor = Supervisor(address)
    start = time.monotonic()
    while time.monotonic() - start < 1.5 * BREATH:
        supervisor.alive("busy")
    heard.setblocking(False)
    assert hear(heard)["WATCHDOG"] == "1"
    assert hear(heard)["WATCHDOG"] == "1"
    with pytest.raises(BlockingIOError):
        hear(heard)


@pytest.mark.parametrize("address", [None, "", "/nowhere/notify", "@nobody-listens", "vsock:2:1", "@" + "x" * 200])
def test_nobody_listens(address: str | None) -> None:
    supervisor = Supervisor(address)
    supervisor.ready("")
    supervisor.alive("")
    supervisor.stopping()


@pytest.mark.parametrize("listening", ["path"], indirect=True)
def test_the_watch_tells_systemd_from_start_to_end(
    listening: tuple[str, socket.socket], tmp_path: Path, tiny_model: Path
) -> None:
    address, heard = listening
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("L", (40, 40)).save(folder / "JANE DOE.png")
    command = [SCRIPT, "watch", folder, "--out", tmp_path / "results.jsonl", "--model", tiny_model, "--interval", "0.1"]
    with subprocess.Popen(command, env={**os.environ, "NOTIFY_SOCKET": address}, stderr=subprocess.PIPE) as process:
        assert hear(heard) == {"READY": "1", "STATUS": "0 scored before"}
        told = [hear(heard) for _ in range(3)]
        process.terminate()
        while "STOPPING" not in told[-1]:
            told.append(hear(heard))
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert all(state["WATCHDOG"] == "1" for state in told[:-1])
    assert told[-2]["STATUS"] == "1 scored, 0 waiting"
    assert b"JANE" not in stderr + str(told).encode()


@pytest.mark.parametrize("listening", ["path"], indirect=True)
def test_a_hung_decoder_is_silent_and_what_it_hung_on_is_not_lost(
    listening: tuple[str, socket.socket], tmp_path: Path, tiny_model: Path
) -> None:
    address, heard = listening
    folder, out = tmp_path / "in", tmp_path / "results.jsonl"
    folder.mkdir()
    Image.new("L", (13, 13)).save(folder / "hang.png")
    arguments = ["watch", folder, "--out", out, "--model", tiny_model, "--interval", "0.1"]
    with subprocess.Popen(
        [sys.executable, "-c", HANGING, *arguments], env={**os.environ, "NOTIFY_SOCKET": address}
    ) as process:
        assert "READY" in hear(heard)
        heard.settimeout(4 * BREATH)  # the watchdog: systemd ends a process that is silent for as long
        with pytest.raises(TimeoutError):
            while True:
                hear(heard)
        process.terminate()
        time.sleep(0.5)
        assert process.poll() is None  # it would finish the image at hand
        process.terminate()
    assert process.returncode == -signal.SIGTERM
    assert out.read_bytes() == b""

    with subprocess.Popen([SCRIPT, *arguments]) as process:
        while not out.read_bytes().endswith(b"\n"):
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
    assert process.returncode == 0
    assert out.read_bytes().count(b'{"file": "hang.png"') == 1
