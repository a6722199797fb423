"""A stand-in for the daemon of an Android phone: it speaks adb's transport protocol over TCP.

The client is the real one. Messages of 24 bytes and a payload open streams ("OPEN"), which carry data in pieces
("WRTE") that are each acknowledged ("OKAY") until "CLSE". The services are `shell`, with and without packets for exit
codes, and the part of `sync` that pushes files. Commands run in this machine's shell, in a folder that acts as the
phone's root: paths are rewritten in both directions.
"""

import os
import queue
import re
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CNXN, AUTH, OPEN, OKAY, WRTE, CLSE = (
    int.from_bytes(name, "little")
    for name in (
        b"CNXN",
        b"AUTH",
        b"OPEN",
        b"OKAY",
        b"WRTE",
        b"CLSE",
    )
)
VERSION, MAX_DATA, TOKEN, PUBLIC_KEY = 0x01000000, 4096, 1, 3
STDOUT, EXIT = 1, 3  # packets of shell,v2
ROOTED = re.compile(r"(?<![\w/.])/(?=data/local/tmp|proc/|sys/)")


class Gone(Exception):
    """The cable was pulled."""


class Stream:
    """One service of one connection."""

    def __init__(self, phone: "Phone", connection: socket.socket, local: int, remote: int) -> None:
        self.phone, self.connection, self.local, self.remote = phone, connection, local, remote
        self.came: queue.Queue[bytes | None] = queue.Queue()  # None: closed by the other side
        self.acknowledged: queue.Queue[bool] = queue.Queue()  # False: closed by the other side
        self.left = b""
        self.process: subprocess.Popen[bytes] | None = None

    def closed(self) -> None:
        """Close the stream for the other side, and end what runs for it."""
        self.came.put(None)
        self.acknowledged.put(False)
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_DATA):
            self.phone.send(self.connection, WRTE, self.local, self.remote, data[start : start + MAX_DATA])
            if not self.acknowledged.get(timeout=30):
                raise EOFError

    def read(self, size: int) -> bytes:
        while len(self.left) < size:
            if (data := self.came.get(timeout=30)) is None:
                raise EOFError
            self.left += data
        taken, self.left = self.left[:size], self.left[size:]
        return taken

    def close(self) -> None:
        self.phone.send(self.connection, CLSE, self.local, self.remote)


class Phone:
    """A phone whose root is `root`; commands find `root`/bin first.

    Attributes:
        features: as the phone advertises them; "shell_v2" came with Android 7.
        trusts: the computer; else it asks for a key for ever.
        room: bytes that pushed files may have together.
        unplug_at: text of a command at which the cable is pulled.
    """

    def __init__(self, root: Path, features: str = "shell_v2,cmd") -> None:
        self.root, self.features = root, features
        self.trusts, self.room, self.unplug_at = True, 1 << 30, ""
        self.commands: list[str] = []
        self.connections: list[socket.socket] = []
        self.sending = threading.Lock()
        for folder in ("bin", "data/local/tmp", "proc", "sys"):
            (root / folder).mkdir(parents=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.serial = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.threads: list[threading.Thread] = []
        self.thread(self.accept)

    @property
    def storage(self) -> Path:
        return self.root / "data/local/tmp"

    def install(self, name: str, script: str) -> None:
        """Put a program on the phone."""
        (self.root / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.root / "bin" / name).chmod(0o755)

    def hang_up(self) -> None:
        for one in (self.listener, *self.connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def unplug(self) -> None:
        """Close the connections, and wait for everything that runs on the phone."""
        self.hang_up()
        for thread in self.threads:
            thread.join(timeout=60)

    def thread(self, work: Callable[..., None], *arguments: object) -> None:
        self.threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self.threads[-1].start()

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                self.thread(self.serve, connection)

    def send(self, connection: socket.socket, command: int, first: int, second: int, data: bytes = b"") -> None:
        header = struct.pack("<6I", command, first, second, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF)
        with self.sending:
            connection.sendall(header + data)

    def serve(self, connection: socket.socket) -> None:
        streams: dict[int, Stream] = {}
        with suppress(OSError, EOFError):
            while True:
                command, first, second, length, _, _ = struct.unpack("<6I", exactly(connection, 24))
                data = exactly(connection, length)
                if command in (CNXN, AUTH) and not self.trusts:
                    if (command, first) != (AUTH, PUBLIC_KEY):  # which a person would have to accept
                        self.send(connection, AUTH, TOKEN, 0, bytes(20))
                elif command == CNXN:
                    banner = f"device::ro.product.name=standin;ro.product.model=Stand_in;features={self.features}"
                    self.send(connection, CNXN, VERSION, MAX_DATA, banner.encode() + b"\0")
                elif command == OPEN:
                    stream = streams[len(streams) + 1] = Stream(self, connection, len(streams) + 1, first)
                    self.send(connection, OKAY, stream.local, stream.remote)
                    service = data.rstrip(b"\0").decode()
                    self.thread(self.run, stream, service)
                elif command == WRTE:
                    streams[second].came.put(data)
                    self.send(connection, OKAY, second, first)
                elif command == OKAY:
                    streams[second].acknowledged.put(True)
                elif command == CLSE and second in streams:
                    streams[second].closed()
        for stream in streams.values():
            stream.closed()

    def run(self, stream: Stream, service: str) -> None:
        with suppress(OSError, EOFError, queue.Empty, Gone):
            kind, _, rest = service.partition(":")
            if kind == "sync":
                self.sync(stream)
            elif kind.startswith("shell"):
                self.shell(stream, rest, packets="v2" in kind.split(","))
            stream.close()

    def shell(self, stream: Stream, command: str, packets: bool) -> None:
        self.commands.append(command)
        environment = {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "HOME": str(self.root), "LC_ALL": "C"}
        process = stream.process = subprocess.Popen(
            ["/bin/sh", "-c", ROOTED.sub(f"{self.root}/", command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=self.root,
            start_new_session=True,
        )
        assert process.stdout is not None
        with process:  # which waits for its end in any case
            for line in process.stdout:
                line = line.replace(str(self.root).encode(), b"")
                if self.unplug_at and self.unplug_at in command:
                    self.hang_up()
                    raise Gone
                if packets:
                    stream.write(struct.pack("<BI", STDOUT, len(line)) + line)
                else:  # a terminal of its own
                    stream.write(line.replace(b"\n", b"\r\n"))
        if packets:
            stream.write(struct.pack("<BIB", EXIT, 1, process.returncode & 0xFF))

    def sync(self, stream: Stream) -> None:
        while (request := stream.read(4)) != b"QUIT":
            path = stream.read(*struct.unpack("<I", stream.read(4))).decode()
            if request == b"STAT":
                stream.write(struct.pack("<4s3I", b"STAT", 0, 0, 0))  # nothing is there
            elif request == b"SEND":
                self.receive(stream, path.rpartition(",")[0])

    def receive(self, stream: Stream, path: str) -> None:
        content = b""
        while True:
            kind, length = struct.unpack("<4sI", stream.read(8))
            if kind == b"DONE":
                break
            content += stream.read(length)
        room = self.room - sum(file.stat().st_size for file in self.storage.rglob("*") if file.is_file())
        Path(f"{self.root}{path}").write_bytes(content[:room])
        if len(content) > room:
            said = b"write failed: No space left on device"
            stream.write(struct.pack("<4sI", b"FAIL", len(said)) + said)
        else:
            stream.write(struct.pack("<4sI", b"OKAY", 0))


def exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (piece := connection.recv(size - len(data))):
            raise EOFError
        data += piece
    return data
