"""Notify systemd of the state of a service, by its sd_notify protocol."""

import os
import socket
import time
from contextlib import suppress

HEARTBEAT_INTERVAL = 1.0  # seconds between two watchdog messages; the watchdog waits far longer


class SystemdNotifier:
    """Tell systemd that the service is ready, alive or stopping. Without systemd it does nothing.

    Args:
        address: datagram socket, as in systemd's `NOTIFY_SOCKET`: a path, or a name that starts with "@" for an
            abstract socket. None or "": no service manager.

    >>> SystemdNotifier(None).ready("no service manager")
    """

    def __init__(self, address: str | None) -> None:
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._last_sent = 0.0

    @classmethod
    def from_environment(cls) -> "SystemdNotifier":
        """Return a notifier for the socket in `NOTIFY_SOCKET`, which systemd sets."""
        return cls(os.environ.get("NOTIFY_SOCKET"))

    def ready(self, status: str) -> None:
        """Report that the service has started. systemd then starts the units that wait for it."""
        self._send("READY=1", f"STATUS={status}")

    def alive(self, status: str) -> None:
        """Reset the watchdog. It may be called at any rate; at most one message per second is sent."""
        if time.monotonic() - self._last_sent >= HEARTBEAT_INTERVAL:
            self._send("WATCHDOG=1", f"STATUS={status}")

    def stopping(self) -> None:
        """Report that the service is ending on purpose."""
        self._send("STOPPING=1")

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        self._last_sent = time.monotonic()
        # If a message fails, scoring goes on; the watchdog notices missing messages.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto("\n".join(assignments).encode(), self._address)
