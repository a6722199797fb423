"""The results file of `osteolite watch`, which is also the record of the files that have been scored."""

import errno
import fcntl
import itertools
import json
import os
import stat
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from ..errors import OsteoliteError, UsageError

LONGEST_LINE = 1 << 20  # bytes; a path has at most 4,096 bytes, each of which may take six in JSON
_LINE_START = b'{"file": '


class Version(NamedTuple):
    """One version of a file. A file that is written again has a new version."""

    file: str  # path relative to the watched folder
    bytes: int  # size of the file
    modified_ns: int  # modification time, nanoseconds since 1970


class Journal:
    """A file with one JSON line per scored version of a file.

    A line is on the disk when `append` returns, so the file itself is the record of the work done. After a crash or a
    power cut, the file is read again when it is opened, and an incomplete last line is removed. Only one process can
    open it at a time. It takes about 120 bytes of memory per version.

    Args:
        path: the file; it is created if it does not exist, but its folder is not.

    Raises:
        UsageError: the file cannot be opened, is not a regular file, is open in another process, or has lines that a
            journal did not write.

    >>> import tempfile; path = Path(tempfile.mkdtemp()) / "results.jsonl"
    >>> with Journal(path) as journal:
    ...     journal.append(Version("a.png", 9, 1), {"label": "normal"})
    >>> path.read_text()
    '{"file": "a.png", "bytes": 9, "modified_ns": 1, "label": "normal"}\\n'
    >>> with Journal(path) as journal:
    ...     Version("a.png", 9, 1) in journal, Version("a.png", 9, 2) in journal
    (True, False)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._done: set[bytes] = set()
        self._file = self._open()
        try:
            self._lock()
            self._read_back()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def __contains__(self, version: Version) -> bool:
        return _digest(version) in self._done

    def __len__(self) -> int:
        return len(self._done)

    def append(self, version: Version, row: dict[str, Any]) -> None:
        """Append the line of a version and sync it to the disk.

        Args:
            version: the version; its fields come first in the line.
            row: the other fields of the line.

        Raises:
            OsteoliteError: the line cannot be written, or the file was removed or replaced. No partial line remains.
        """
        line = json.dumps({**version._asdict(), **row}, allow_nan=False).encode() + b"\n"
        end = os.fstat(self._file).st_size
        try:
            self._check_in_place()
            rest = memoryview(line)
            while rest:  # one write, unless the disk is full: then the second write raises
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, end)
            raise OsteoliteError(
                f"{self.path}: cannot be written: {error.strerror or error}; no result is lost: fix the cause and "
                "start again, and scoring continues"
            ) from error
        self._done.add(_digest(version))

    def _open(self) -> int:
        try:
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UsageError(
                f"{self.path}: cannot be written: {error.strerror}; name a file in a writable folder"
            ) from error
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise UsageError(
                f"{self.path}: not a regular file; results are read again at the next start, so name a file"
            )
        return file

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"{self.path}: another `osteolite watch` writes to it; stop that one or name another file"
            ) from error
        except OSError as error:
            raise UsageError(
                f"{self.path}: cannot be locked: {error.strerror}; name a file on a disk of this machine"
            ) from error

    def _read_back(self) -> None:
        """Read the versions that are done, and remove an incomplete last line."""
        damaged: int | None = None  # offset of the last line, if it is damaged
        with os.fdopen(os.dup(self._file), "rb") as stream:
            stream.seek(0)
            for number in itertools.count(1):
                start = stream.tell()
                line = stream.readline(LONGEST_LINE)
                if not line:
                    break
                version = self._parse(line, number)
                damaged = start if version is None else None
                if version is not None:
                    self._done.add(_digest(version))
        # An earlier damaged line was damaged later, by the disk: it is kept, and its file is scored again.
        if damaged is not None:
            os.ftruncate(self._file, damaged)
        os.fsync(self._file)
        _sync_folder(self.path.parent)  # so that the name of a new file also survives a power cut

    def _parse(self, line: bytes, number: int) -> Version | None:
        """Return the version of a line; None if the line was not completely written."""
        try:
            row = json.loads(line) if line.endswith(b"\n") else None
            if row is not None:
                return Version(str(row["file"]), int(row["bytes"]), int(row["modified_ns"]))
        except (ValueError, RecursionError):
            pass
        except (TypeError, KeyError) as error:
            raise self._foreign(number) from error
        # A power cut leaves the start of a line, or zeros where the disk did not write.
        if _LINE_START.startswith(line[: len(_LINE_START)].partition(b"\0")[0]):
            return None
        raise self._foreign(number)

    def _foreign(self, number: int) -> UsageError:
        return UsageError(
            f"{self.path}: line {number} was not written by `osteolite watch`; name a new file, or a results file of it"
        )

    def _check_in_place(self) -> None:
        """Raise OSError if the path no longer leads to this file: lines in a removed file would be lost."""
        if not os.path.samestat(os.fstat(self._file), self.path.stat()):
            raise OSError(errno.ESTALE, "the file was replaced")


def _digest(version: Version) -> bytes:
    """Return 16 bytes that identify a version, because a device that runs for years remembers all versions."""
    text = f"{version.modified_ns} {version.bytes} {version.file}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _sync_folder(folder: Path) -> None:
    # Some file systems cannot sync folders.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
