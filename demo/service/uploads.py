"""The last upload of each person, held in memory so that another model can be tried on it."""

import threading
import time
from collections import OrderedDict

KEPT_SECONDS = 600
MOST_BYTES = 256 * 1024 * 1024  # of all uploads together; the oldest goes first
MOST_SESSIONS = 256


class Uploads:
    """Image files by the session that sent them, never more than one a session.

    Args:
        seconds: after which an upload is forgotten.
        most_bytes: of all of them together.
        most_sessions: of which one is kept.
    """

    def __init__(
        self, seconds: float = KEPT_SECONDS, most_bytes: int = MOST_BYTES, most_sessions: int = MOST_SESSIONS
    ) -> None:
        self._seconds, self._most_bytes, self._most_sessions = seconds, most_bytes, most_sessions
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()  # oldest first
        self._bytes = 0
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None  # runs while anything is kept

    def keep(self, session: str, image: bytes) -> None:
        """Keep an upload in place of the session's last one."""
        with self._lock:
            self._forget(session)
            self._kept[session] = (time.monotonic() + self._seconds, image)
            self._bytes += len(image)
            while self._bytes > self._most_bytes or len(self._kept) > self._most_sessions:
                self._forget(next(iter(self._kept)))
            self._wait()

    def get(self, session: str) -> bytes | None:
        """The session's last upload; None where there is none, or no more."""
        with self._lock:
            return self._kept[session][1] if session in self._kept else None

    def forget(self, session: str) -> None:
        """Drop the session's upload, if there is one."""
        with self._lock:
            self._forget(session)

    def _forget(self, session: str) -> None:
        if session in self._kept:
            self._bytes -= len(self._kept.pop(session)[1])

    def _wait(self) -> None:
        if self._timer is None and self._kept:
            oldest = next(iter(self._kept.values()))[0]
            self._timer = threading.Timer(max(0.0, oldest - time.monotonic()), self._sweep)
            self._timer.daemon = True
            self._timer.start()

    def _sweep(self) -> None:
        with self._lock:
            self._timer, now = None, time.monotonic()
            for session in [session for session, (end, _) in self._kept.items() if end <= now]:
                self._forget(session)
            self._wait()
