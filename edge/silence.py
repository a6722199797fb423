"""Keeps the chatter of libraries off the terminal: C++ text on stderr, warnings and log records."""

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
    """Takes the place of a warning filter's pattern: matches every text inside `muted`, none outside."""

    pattern, flags = "(?!)", 0  # for who copies the filters, as scikit-learn does for its workers: no text at all

    def match(self, text: str) -> bool:
        return _muted.get()


_IGNORE: Any = ("ignore", _AnyTextWhileMuted(), Warning, None, 0)


def _passes(record: logging.LogRecord) -> bool:
    return not _muted.get()


@contextmanager
def muted(*libraries: str) -> Iterator[None]:
    """Drop all warnings of the block, and the log records of these libraries; other threads keep theirs.

    `warnings.catch_warnings` replaces the filters of the whole process, so that two threads inside it
    at once let warnings out and leave the wrong filters behind.

    Args:
        libraries: top-level names of loggers, such as "pydicom".

    >>> with muted():
    ...     warnings.warn("unseen")
    """
    # Again at each call: whoever resets the filters, as pytest does for each test, drops this one.
    filters: Any = warnings.filters
    if filters[:1] != [_IGNORE]:
        with suppress(ValueError):
            filters.remove(_IGNORE)
        filters.insert(0, _IGNORE)
    for name in list(logging.root.manager.loggerDict) if libraries else ():
        # A filter sees only what its own logger is given, not what comes up from the loggers below.
        if name.partition(".")[0] in libraries:
            logging.getLogger(name).addFilter(_passes)
    token = _muted.set(True)
    try:
        yield
    finally:
        _muted.reset(token)


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what the block writes to standard error, from C++ too; an exception lets it out.

    For short blocks of a command line: it is the whole process's standard error, so no library
    function that other threads may run beside should be called under it.
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
    """A file to hold the text; None where standard error is closed or no folder can be written to."""
    try:
        os.fstat(2)
        held = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed below
    except OSError:
        yield None
        return
    with held:
        yield held
