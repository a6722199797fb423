"""Keeps what an exception says out of a log, as it may name an upload."""

import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any


class _Place(traceback.TracebackException):
    """Where an exception was raised and of which type it is, without its message."""

    def __init__(self, exc_type: type[BaseException], *rest: Any, **named: Any) -> None:
        self._kind = exc_type.__name__
        super().__init__(exc_type, *rest, **named)

    def format_exception_only(self, **_: Any) -> Generator[str, None, None]:
        yield f"{self._kind}\n"


@contextmanager
def without_messages() -> Iterator[None]:
    """In the block, tracebacks that Python code prints or logs, in any thread, end with the type alone.

    Gradio and its server print a traceback of whatever goes wrong in a request: "No such file: NAME".
    """
    before = traceback.TracebackException
    traceback.TracebackException = _Place  # type: ignore[misc]  # the library offers no other way
    try:
        yield
    finally:
        traceback.TracebackException = before  # type: ignore[misc]  # puts it back
