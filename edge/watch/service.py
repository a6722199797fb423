"""The service: score each file of an inbox and write its result to the journal."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .inbox import Inbox
from .journal import Journal, Version

Row = dict[str, Any]
_STOP_CHECK = 0.2  # seconds between two checks for a stop


class Watch:
    """Score the files of an inbox and write their results to a journal.

    Args:
        inbox: source of the files.
        journal: destination of the results.
        rows: yields one row per path, in order, as `prediction.rows.predict_rows` does. Paths are taken as needed.
        report: receives messages for the user. They hold counts only, because file names may be names of patients.
        heartbeat: receives the current status, at least every second unless something hangs.

    >>> import tempfile; from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp()); inside = folder / "in"; inside.mkdir()
    >>> _ = (inside / "a.png").write_bytes(b"...")
    >>> def rows(paths):  # stands for partial(predict_rows, FractureClassifier())
    ...     for path in paths:
    ...         yield {"file": path, "label": "normal"}
    >>> with Journal(folder / "results.jsonl") as journal:
    ...     watch = Watch(Inbox(inside, journal), journal, rows, report=lambda text: (print(text), watch.stop()))
    ...     watch.run(interval=0.01)
    1 scored, 0 of them could not be read; 1 in all
    """

    def __init__(
        self,
        inbox: Inbox,
        journal: Journal,
        rows: Callable[[Iterable[str]], Iterator[Row]],
        report: Callable[[str], object] = lambda text: None,
        heartbeat: Callable[[str], object] = lambda status: None,
    ) -> None:
        self.inbox, self.journal, self.rows = inbox, journal, rows
        self.report, self._heartbeat = report, heartbeat
        self.waiting = 0  # files found by the last poll and not handed out yet
        self._stopped = False
        self._first_poll, self._missing, self._unreadable = True, False, 0

    def stop(self) -> None:
        """Take no further images. `run` returns after those in progress. May be called by a signal handler."""
        self._stopped = True

    def run(self, interval: float) -> None:
        """Watch until `stop` is called.

        Args:
            interval: seconds between two polls of the folder: the shortest time for which a file must be unchanged.

        Raises:
            OsteoliteError: a result cannot be written, or the model fails.
        """
        while not self._stopped:
            if versions := self._poll():
                self.score(versions)
            until = time.monotonic() + interval
            while not self._stopped and (left := until - time.monotonic()) > 0:
                self.send_heartbeat()
                time.sleep(min(left, _STOP_CHECK))

    def score(self, versions: list[Version]) -> None:
        """Score versions and write each result at once, unless the file has changed in the meantime."""
        in_progress: deque[Version] = deque()
        scored = failed = 0
        self.waiting = len(versions)
        for row in self.rows(self._hand_out(versions, in_progress)):
            version = in_progress.popleft()
            # A file that changed may have been read in its new state; it comes again as a new version.
            if self.inbox.is_unchanged(version):
                self.journal.append(version, {key: value for key, value in row.items() if key != "file"})
                scored, failed = scored + 1, failed + ("error" in row)
            self.send_heartbeat()
        self.waiting = 0
        if scored:
            self.report(f"{scored} scored, {failed} of them could not be read; {len(self.journal)} in all")

    def send_heartbeat(self) -> None:
        """Pass the current status to `heartbeat`."""
        state = "folder missing" if self._missing else f"{self.waiting} waiting"
        self._heartbeat(f"{len(self.journal)} scored, {state}")

    def _poll(self) -> list[Version]:
        try:
            versions = self.inbox.poll(self.send_heartbeat)
        except OSError as error:
            # A network share comes back when its machine is switched on again, so wait for it.
            if not self._missing:
                self.report(f"the folder cannot be read ({error.strerror}); waiting for it to come back")
            self._missing = True
            return []
        if self._missing:
            self.report("the folder is back")
        if self.inbox.unreadable > self._unreadable:
            self.report(f"{self.inbox.unreadable} subfolders cannot be listed; their files are not scored")
        self._missing, self._unreadable = False, self.inbox.unreadable
        if versions and self._first_poll:
            # An image that crashes the process would otherwise come first after every restart and block the others.
            random.shuffle(versions)
            self._first_poll = False
        return versions

    def _hand_out(self, versions: list[Version], in_progress: deque[Version]) -> Iterator[str]:
        for version in versions:
            if self._stopped:
                return
            self.waiting -= 1
            in_progress.append(version)
            yield self.inbox.path(version)
