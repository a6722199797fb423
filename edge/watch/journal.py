"""A results file that says by itself which files were scored."""

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

LONGEST_LINE = 1 << 20  # bytes; a path has at most 4,096, each of which JSON may write as six
_HEAD = b'{"file": '  # how every line begins


class Version(NamedTuple):
    """One state of one file; written again, the file has another."""

    file: str  # path relative to the watched folder
    bytes: int
    modified_ns: int  # since 1970, as the file system keeps it


class Journal:
    """Appends one JSON line for each version, and knows which have one.

    A line is on the disk when `append` returns, so that it is the record of work done: nothing else has
    to be kept. Opened again after a crash or a power cut, the file is read back; a last line that did not
    get to the disk whole is cut off. One process at a time holds it. Memory: some 120 bytes a version.

    Args:
        path: the file; it is made if it is missing, its folder is not.

    Raises:
        UsageError: it cannot be opened, is no regular file, is held by another process, or holds lines
            that no journal wrote.

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
        """Add the line of a version; it is on the disk when this returns.

        Args:
            version: what the line is about; it begins the line.
            row: what else the line says.

        Raises:
            OsteoliteError: the line cannot be written, or the file was taken away; nothing is left of it.
        """
        line = json.dumps({**version._asdict(), **row}, allow_nan=False).encode() + b"\n"
        end = os.fstat(self._file).st_size
        try:
            self._check_in_place()
            rest = memoryview(line)
            while rest:  # one write, unless the disk is full: the second then says so
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, end)
            raise OsteoliteError(
                f"{self.path}: cannot be written: {error.strerror or error}; no result is lost: once that is "
                "mended, start again and it goes on where it was"
            ) from error
        self._done.add(_digest(version))

    def _open(self) -> int:
        try:
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UsageError(
                f"{self.path}: cannot be written: {error.strerror}; name a file in a folder that can be written to"
            ) from error
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise UsageError(f"{self.path} is no regular file; results are read back at the next start, name a file")
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
        """Learn what is done, and cut off a torn last line."""
        torn: int | None = None  # where the last line begins, if it is damaged
        with os.fdopen(os.dup(self._file), "rb") as stream:
            stream.seek(0)
            for number in itertools.count(1):
                start = stream.tell()
                line = stream.readline(LONGEST_LINE)
                if not line:
                    break
                version = self._parse(line, number)
                torn = start if version is None else None
                if version is not None:
                    self._done.add(_digest(version))
        # A damaged line before the last was damaged later, by the disk: it stays, and its file is scored again.
        if torn is not None:
            os.ftruncate(self._file, torn)
        os.fsync(self._file)
        _sync_folder(self.path.parent)  # a new file's name must outlast a power cut as well

    def _parse(self, line: bytes, number: int) -> Version | None:
        """The version that a line is about; None for a line that did not get to the disk whole."""
        try:
            row = json.loads(line) if line.endswith(b"\n") else None
            if row is not None:
                return Version(str(row["file"]), int(row["bytes"]), int(row["modified_ns"]))
        except (ValueError, RecursionError):
            pass
        except (TypeError, KeyError) as error:
            raise self._foreign(number) from error
        # What a power cut leaves: the beginning of a line, or zeros where the disk did not get to write.
        if _HEAD.startswith(line[: len(_HEAD)].partition(b"\0")[0]):
            return None
        raise self._foreign(number)

    def _foreign(self, number: int) -> UsageError:
        return UsageError(
            f"{self.path}: line {number} is none that `osteolite watch` wrote; name a new file, or one of its own"
        )

    def _check_in_place(self) -> None:
        """Lines in a file that has lost its name would be lost with it."""
        if not os.path.samestat(os.fstat(self._file), self.path.stat()):
            raise OSError(errno.ESTALE, "the file was replaced")


def _digest(version: Version) -> bytes:
    """16 bytes that stand for a version: a device that runs for years remembers every one."""
    text = f"{version.modified_ns} {version.bytes} {version.file}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _sync_folder(folder: Path) -> None:
    # Not every file system lets a folder be synced; those keep names their own way.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
