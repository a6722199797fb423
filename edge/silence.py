"""Suppress library output: C++ text on standard error, warnings and log records."""

import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, BinaryIO

_muted: ContextVar[bool] = ContextVar("muted", default=False)


class _AnyTextWhileMuted:
    """Stand-in for a warning filter's pattern: it matches every text inside `muted` and none outside."""

    pattern, flags = "(?!)", 0  # scikit-learn copies the filters for its workers; the copy matches no text

    def match(self, text: str) -> bool:
        return _muted.get()


_IGNORE: Any = ("ignore", _AnyTextWhileMuted(), Warning, None, 0)


def _passes(record: logging.LogRecord) -> bool:
    return not _muted.get()


@contextmanager
def muted(*libraries: str) -> Iterator[None]:
    """Drop all warnings and the log records of some libraries inside the block, in this thread only.

    `warnings.catch_warnings` replaces the filters of the whole process: two threads inside it at the same time would
    let warnings through and leave the wrong filters behind.

    Args:
        libraries: top-level names of loggers, such as "pydicom".

    >>> with muted():
    ...     warnings.warn("unseen")
    """
    # Checked at each call: code that resets the filters, as pytest does for each test, drops this one.
    filters: Any = warnings.filters
    if filters[:1] != [_IGNORE]:
        with suppress(ValueError):
            filters.remove(_IGNORE)
        filters.insert(0, _IGNORE)
    for name in list(logging.root.manager.loggerDict) if libraries else ():
        # A logger's filter does not see the records of its child loggers, so every logger gets one.
        if name.partition(".")[0] in libraries:
            logging.getLogger(name).addFilter(_passes)
    token = _muted.set(True)
    try:
        yield
    finally:
        _muted.reset(token)


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what the block writes to standard error, C++ included, and print it if the block raises.

    It redirects the standard error of the whole process: use it for short blocks of the command line, not in library
    functions that may run beside other threads.
    """
    with _held() as held:
        if held is None:
            yield
            return
        saved = os.dup(2)
        sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            with os.fdopen(os.dup(saved), "wb") as stream:
                shutil.copyfileobj(held, stream)
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


@contextmanager
def _held() -> Iterator[BinaryIO | None]:
    """Yield a file for the text; None if standard error is closed or no temporary folder is writable."""
    try:
        os.fstat(2)
        held = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed below
    except OSError:
        yield None
        return
    with held:
        yield held
