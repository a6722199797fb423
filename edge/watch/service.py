"""Scores each file of an inbox and writes its line to the journal."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .inbox import Inbox
from .journal import Journal, Version

Row = dict[str, Any]
_NAP = 0.2  # seconds between two looks at whether to stop


class Watch:
    """Scores what comes into an inbox, and writes it down.

    Args:
        inbox: where the files come from.
        journal: where their lines go.
        rows: from paths, as many as the iterable gives, one row each in their order, as `predict` has them.
        report: is told in words what happened, in counts alone: names of files may be names of patients.
        alive: is told how things stand, often: at least every second unless something hangs.

    Example:
        with Journal("results.jsonl") as journal:
            watch = Watch(Inbox("radiographs", journal), journal, partial(predict_rows, classifier))
            watch.run(interval=5)
    """

    def __init__(
        self,
        inbox: Inbox,
        journal: Journal,
        rows: Callable[[Iterable[str]], Iterator[Row]],
        report: Callable[[str], None] = lambda text: None,
        alive: Callable[[str], None] = lambda status: None,
    ) -> None:
        self.inbox, self.journal, self.rows = inbox, journal, rows
        self.report, self._tell = report, alive
        self.waiting = 0
        self._stopped = False
        self._first, self._missing, self._closed = True, False, 0

    def stop(self) -> None:
        """Take no further image; for a signal handler. `run` returns when those at hand are done."""
        self._stopped = True

    def run(self, interval: float) -> None:
        """Watch until `stop`.

        Args:
            interval: seconds from one look at the folder to the next, and so the least time that a file
                must have been left alone.

        Raises:
            OsteoliteError: a result cannot be written, or the model gives none.
        """
        while not self._stopped:
            if versions := self._poll():
                self.score(versions)
            until = time.monotonic() + interval
            while not self._stopped and (left := until - time.monotonic()) > 0:
                self.alive()
                time.sleep(min(left, _NAP))

    def score(self, versions: list[Version]) -> None:
        """Score versions and write down each as soon as it is known, unless the file has changed meanwhile."""
        at_hand: deque[Version] = deque()
        scored = failed = 0
        self.waiting = len(versions)
        for row in self.rows(self._hand_out(versions, at_hand)):
            version = at_hand.popleft()
            # What was read is this version only if the file is still in that state; if not, it comes again.
            if self.inbox.is_there(version):
                self.journal.append(version, {key: value for key, value in row.items() if key != "file"})
                scored, failed = scored + 1, failed + ("error" in row)
            self.alive()
        self.waiting = 0
        if scored:
            self.report(f"{scored} scored, {failed} of them could not be read; {len(self.journal)} in all")

    def alive(self) -> None:
        """Say how things stand."""
        here = "folder missing" if self._missing else f"{self.waiting} waiting"
        self._tell(f"{len(self.journal)} scored, {here}")

    def _poll(self) -> list[Version]:
        try:
            versions = self.inbox.poll(self.alive)
        except OSError as error:
            # A share comes back by itself when its machine is switched on again: nobody need be there.
            if not self._missing:
                self.report(f"the folder cannot be read ({error.strerror}); waiting for it to come back")
            self._missing = True
            return []
        if self._missing:
            self.report("the folder is back")
        if self.inbox.closed > self._closed:
            self.report(
                f"folders inside that cannot be listed, so that what is in them is not seen: {self.inbox.closed}"
            )
        self._missing, self._closed = False, self.inbox.closed
        if versions and self._first:
            # An image that ends the process would otherwise be the first again after every restart, and
            # keep those behind it from ever being scored.
            random.shuffle(versions)
            self._first = False
        return versions

    def _hand_out(self, versions: list[Version], at_hand: deque[Version]) -> Iterator[str]:
        for version in versions:
            if self._stopped:
                return
            self.waiting -= 1
            at_hand.append(version)
            yield self.inbox.path(version)
