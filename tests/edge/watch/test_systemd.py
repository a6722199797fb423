"""Messages to systemd, received by a real datagram socket."""

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

from osteolite.edge.watch.systemd import HEARTBEAT_INTERVAL, SystemdNotifier

SCRIPT = Path(sys.executable).with_name("osteolite")
# The command with a decoder that hangs on one image.
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
    """The address as in NOTIFY_SOCKET, and the socket that receives messages."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@osteolite-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(address.replace("@", "\0", 1) if request.param == "abstract" else address)
        server.settimeout(60)
        yield address, server


def receive(server: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in server.recv(4096).decode().splitlines())


def test_each_state_is_sent(listening: tuple[str, socket.socket]) -> None:
    address, server = listening
    notifier = SystemdNotifier(address)
    notifier.ready("7 scored")
    assert receive(server) == {"READY": "1", "STATUS": "7 scored"}
    time.sleep(HEARTBEAT_INTERVAL)
    notifier.alive("8 scored, 1 waiting")
    assert receive(server) == {"WATCHDOG": "1", "STATUS": "8 scored, 1 waiting"}
    notifier.stopping()
    assert receive(server) == {"STOPPING": "1"}


def test_a_watchdog_message_is_sent_once_a_second(listening: tuple[str, socket.socket]) -> None:
    address, server = listening
    notifier = SystemdNotifier(address)
    start = time.monotonic()
    while time.monotonic() - start < 1.5 * HEARTBEAT_INTERVAL:
        notifier.alive("busy")
    server.setblocking(False)
    assert receive(server)["WATCHDOG"] == "1"
    assert receive(server)["WATCHDOG"] == "1"
    with pytest.raises(BlockingIOError):
        receive(server)


@pytest.mark.parametrize("address", [None, "", "/nowhere/notify", "@no-listener", "vsock:2:1", "@" + "x" * 200])
def test_a_missing_socket_is_ignored(address: str | None) -> None:
    notifier = SystemdNotifier(address)
    notifier.ready("")
    notifier.alive("")
    notifier.stopping()


@pytest.mark.parametrize("listening", ["path"], indirect=True)
def test_watch_reports_its_state_from_start_to_end(
    listening: tuple[str, socket.socket], tmp_path: Path, tiny_model: Path
) -> None:
    address, server = listening
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("L", (40, 40)).save(folder / "JANE DOE.png")
    out = tmp_path / "results.jsonl"
    command: list[str | Path] = [SCRIPT, "watch", folder, "--out", out, "--model", tiny_model, "--interval", "0.1"]
    with subprocess.Popen(command, env={**os.environ, "NOTIFY_SOCKET": address}, stderr=subprocess.PIPE) as process:
        assert receive(server) == {"READY": "1", "STATUS": "0 scored before"}
        messages = [receive(server) for _ in range(3)]
        process.terminate()
        while "STOPPING" not in messages[-1]:
            messages.append(receive(server))
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert all(state["WATCHDOG"] == "1" for state in messages[:-1])
    assert messages[-2]["STATUS"] == "1 scored, 0 waiting"
    assert b"JANE" not in stderr + str(messages).encode()


@pytest.mark.parametrize("listening", ["path"], indirect=True)
def test_a_hanging_decoder_stops_the_messages_and_its_image_is_scored_later(
    listening: tuple[str, socket.socket], tmp_path: Path, tiny_model: Path
) -> None:
    address, server = listening
    folder, out = tmp_path / "in", tmp_path / "results.jsonl"
    folder.mkdir()
    Image.new("L", (13, 13)).save(folder / "hang.png")
    arguments: list[str | Path] = ["watch", folder, "--out", out, "--model", tiny_model, "--interval", "0.1"]
    with subprocess.Popen(
        [sys.executable, "-c", HANGING, *arguments], env={**os.environ, "NOTIFY_SOCKET": address}
    ) as process:
        assert "READY" in receive(server)
        server.settimeout(4 * HEARTBEAT_INTERVAL)  # the watchdog: systemd ends a process without messages for this time
        with pytest.raises(TimeoutError):
            while True:
                receive(server)
        process.terminate()
        time.sleep(0.5)
        assert process.poll() is None  # it waits for the image in progress
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
