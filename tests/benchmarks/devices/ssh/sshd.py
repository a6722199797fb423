"""A real OpenSSH server on this machine's loopback, for the duration of a test."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .processes import PROC, children

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
SEPARATION = Path("/run/sshd")  # a server that root starts insists on this folder


class Unavailable(Exception):
    """No server can be started here. The message says why."""


@dataclass(frozen=True)
class Sshd:
    """A server that accepts one key, and the configuration for its clients."""

    port: int
    user: str
    programs: Path  # a folder with an `ssh` that reads the configuration of this server, for PATH
    config: Path  # of the clients
    process: subprocess.Popen[bytes]

    def url(self) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}"

    def signal_sessions(self, number: signal.Signals) -> None:
        """To all processes of the server that serve a connection, and to none that they started for it."""
        found = children(self.process.pid)
        for pid in found:
            found += [child for child in children(pid) if "sshd" in Path(f"/proc/{child}/comm").read_text()]
        for pid in found:
            os.kill(pid, number)


@contextmanager
def running(folder: Path, environment: Mapping[str, str]) -> Iterator[Sshd]:
    """Start a server whose files lie in the folder; its sessions have this environment.

    Raises:
        Unavailable: there is no server, or it does not start.
    """
    if SSHD is None or shutil.which("ssh") is None or not (PROC / "self" / "environ").exists():
        raise Unavailable("needs OpenSSH's ssh and sshd, and Linux's /proc")
    if os.geteuid() == 0:
        SEPARATION.mkdir(mode=0o755, exist_ok=True)
    for name in ("host", "client", "stranger"):
        _make_key(folder / name)
    (folder / "authorized_keys").write_bytes((folder / "client.pub").read_bytes())
    process, port = _start(folder, environment)
    try:
        config = _configure_client(folder, port)
        yield Sshd(port, getpass.getuser(), folder / "bin", config, process)
    finally:
        for pid in (*children(process.pid), process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def _make_key(path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True, timeout=60)


def _start(folder: Path, environment: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int]:
    log = folder / "sshd.log"
    for _ in range(5):  # another process may take the port in between
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        lines = [
            f"ListenAddress 127.0.0.1:{port}",
            f"HostKey {folder / 'host'}",
            f"AuthorizedKeysFile {folder / 'authorized_keys'}",
            "PidFile none",
            "UsePAM no",
            "StrictModes no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "SetEnv " + " ".join(f'{name}="{value}"' for name, value in environment.items()),
        ]
        (folder / "sshd_config").write_text("\n".join(lines) + "\n")
        assert SSHD is not None
        with log.open("ab") as stream:
            process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=stream)
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return process, port
            time.sleep(0.02)
    raise Unavailable(f"sshd does not start here: {' '.join(log.read_text().split())}")


def _configure_client(folder: Path, port: int) -> Path:
    host_key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"there {host_key}\n")
    config = folder / "ssh_config"
    config.write_text(
        f"Host board\n  HostName 127.0.0.1\n  Port {port}\n"
        f"Host *\n  IdentityFile {folder / 'client'}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
        f"  HostKeyAlias there\n  StrictHostKeyChecking yes\n  UserKnownHostsFile {folder / 'known_hosts'}\n"
    )
    program = folder / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    program.chmod(0o755)
    return config
