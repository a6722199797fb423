"""Keeps the chatter of C++ libraries off the terminal."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what the block writes to standard error, from C++ too; an exception lets it out.

    For short blocks of a command line: it is the whole process's standard error, so no library
    function that other threads may run beside should be called under it.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with tempfile.TemporaryFile("w+b") as held:
            os.dup2(held.fileno(), 2)
            try:
                yield
            except BaseException:
                os.dup2(saved, 2)
                held.seek(0)
                with os.fdopen(os.dup(2), "wb") as stream:
                    shutil.copyfileobj(held, stream)
                raise
            finally:
                sys.stderr.flush()
                os.dup2(saved, 2)
    finally:
        os.close(saved)
