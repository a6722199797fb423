"""Keeps the chatter of C++ libraries off the terminal."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO


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
