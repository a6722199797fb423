"""Keep exception messages out of the log: they can name an upload."""

import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any


class _WithoutMessage(traceback.TracebackException):
    """A traceback that ends with the type of the exception, without its message."""

    def __init__(self, exc_type: type[BaseException], *rest: Any, **named: Any) -> None:
        self._type_name = exc_type.__name__
        super().__init__(exc_type, *rest, **named)

    def format_exception_only(self, **_: Any) -> Generator[str, None, None]:
        yield f"{self._type_name}\n"


@contextmanager
def without_messages() -> Iterator[None]:
    """Inside the block, all tracebacks of all threads are printed and logged without the exception's message.

    Gradio and its server log a traceback for every failed request, with messages such as "No such file: NAME".
    """
    before = traceback.TracebackException
    traceback.TracebackException = _WithoutMessage  # type: ignore[misc]  # the library offers no other way
    try:
        yield
    finally:
        traceback.TracebackException = before  # type: ignore[misc]  # puts it back
