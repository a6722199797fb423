"""What a program tells the service manager that started it, by systemd's notify protocol."""

import os
import socket
import time
from contextlib import suppress

BREATH = 1.0  # seconds between two signs of life; a watchdog waits far longer


class Supervisor:
    """Tells systemd that the program is ready, alive or stopping; without systemd it does nothing.

    Args:
        address: the datagram socket to tell it to, as systemd names it in `NOTIFY_SOCKET`: a path, or a
            name that begins with "@" of a socket that has no file. None or "" for no service manager.

    >>> Supervisor(None).ready("nobody listens")
    """

    def __init__(self, address: str | None) -> None:
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._told = 0.0

    @classmethod
    def of_this_process(cls) -> "Supervisor":
        """The one that `NOTIFY_SOCKET` names, if there is one."""
        return cls(os.environ.get("NOTIFY_SOCKET"))

    def ready(self, status: str) -> None:
        """The program has started; systemd goes on with what waits for it."""
        self._tell("READY=1", f"STATUS={status}")

    def alive(self, status: str) -> None:
        """Feed the watchdog; may be called as often as one likes, at most one call a second is passed on."""
        if time.monotonic() - self._told >= BREATH:
            self._tell("WATCHDOG=1", f"STATUS={status}")

    def stopping(self) -> None:
        """The program is about to end, and wants to."""
        self._tell("STOPPING=1")

    def _tell(self, *assignments: str) -> None:
        if not self._address:
            return
        self._told = time.monotonic()
        # A service manager that cannot be told is no reason to stop work: it will notice by itself.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto("\n".join(assignments).encode(), self._address)
