"""The last upload of each visitor, kept in memory for scoring with another model."""

import threading
import time
from collections import OrderedDict

MEMORY_SECONDS = 600  # until an upload in memory is dropped
FILE_SECONDS = 600  # until an uploaded file is deleted; visitors choose many files before they start a batch
MAX_BYTES = 256 * 1024 * 1024  # total size of the uploads in memory; the oldest is dropped first
MAX_SESSIONS = 256  # sessions with an upload in memory


class Uploads:
    """The last image file of each session. Thread-safe.

    Args:
        seconds: time until an upload is dropped.
        max_bytes: total size of all uploads; the oldest is dropped first.
        max_sessions: number of sessions with an upload; the oldest is dropped first.
    """

    def __init__(
        self, seconds: float = MEMORY_SECONDS, max_bytes: int = MAX_BYTES, max_sessions: int = MAX_SESSIONS
    ) -> None:
        self._seconds, self._max_bytes, self._max_sessions = seconds, max_bytes, max_sessions
        self._uploads: OrderedDict[str, tuple[float, bytes]] = OrderedDict()  # expiry and content; oldest first
        self._bytes = 0
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None  # None while there are no uploads

    def keep(self, session: str, image: bytes) -> None:
        """Keep an upload and drop the session's previous one."""
        with self._lock:
            self._forget(session)
            self._uploads[session] = (time.monotonic() + self._seconds, image)
            self._bytes += len(image)
            while self._bytes > self._max_bytes or len(self._uploads) > self._max_sessions:
                self._forget(next(iter(self._uploads)))
            self._start_timer()

    def get(self, session: str) -> bytes | None:
        """The session's last upload, or None."""
        with self._lock:
            return self._uploads[session][1] if session in self._uploads else None

    def forget(self, session: str) -> None:
        """Drop the session's upload, if any."""
        with self._lock:
            self._forget(session)

    def _forget(self, session: str) -> None:
        if session in self._uploads:
            self._bytes -= len(self._uploads.pop(session)[1])

    def _start_timer(self) -> None:
        if self._timer is None and self._uploads:
            oldest = next(iter(self._uploads.values()))[0]
            self._timer = threading.Timer(max(0.0, oldest - time.monotonic()), self._sweep)
            self._timer.daemon = True
            self._timer.start()

    def _sweep(self) -> None:
        with self._lock:
            self._timer, now = None, time.monotonic()
            for session in [session for session, (end, _) in self._uploads.items() if end <= now]:
                self._forget(session)
            self._start_timer()
