"""Images out of an untrusted zip archive, in memory: nothing of it is ever written to disk."""

import io
import os
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from osteolite.edge.errors import InputError, OsteoliteError, UnreadableImage, UnsupportedImage

from .model_set import LIMITS

MAX_ENTRIES = 1000  # of an archive, its folders and hidden files among them
MAX_RATIO = 200  # bytes that a byte of an entry may inflate to; deflate reaches 1032, on nothing but zeros
_DIRECTORY = 256 * 1024  # bytes of an archive's own list of its entries, and the most that is read in one go
_PIECE = 64 * 1024  # bytes that are inflated at a time
_HEADER = 30  # bytes before an entry's name and content, at least
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the two that inflate piece by piece
_ENCRYPTED = 0x1
_START = b"PK\3\4"
_EMPTY = b"PK\5\6"
_DRIVE = re.compile(r"[A-Za-z]:")
_NAMES = "names of files and folders with / between them are read, as ward/hand.png"


@dataclass(frozen=True)
class Entry:
    """A file in an archive, as the archive describes it."""

    name: str  # as the archive has it: it may hold anything
    size: int  # bytes that it is said to inflate to, and the most that it is given
    refusal: str  # why it is not read, or nothing
    info: zipfile.ZipInfo


class _Archive(io.BufferedReader):
    """An archive whose list of entries is read only where it is short."""

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(_DIRECTORY + 1 if size is None or size < 0 else min(size, _DIRECTORY + 1))
        if len(found) > _DIRECTORY:
            raise _too_many()
        return found


def is_archive(start: bytes) -> bool:
    """Whether a file that starts like this is a zip archive, whatever its name.

    >>> is_archive(b"PK\\3\\4...."), is_archive(b"GIF8....")
    (True, False)
    """
    return start.startswith((_START, _EMPTY))


@contextmanager
def open_archive(path: str | os.PathLike[str]) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive; nothing but its list of entries is read, and of that no more than the limits allow.

    Raises:
        InputError: damaged, too many entries, or entries that share bytes.
        OSError: the file cannot be read.
    """
    with _Archive(io.FileIO(path)) as file:
        with _one_line():
            archive = zipfile.ZipFile(file)
            if len(archive.filelist) > MAX_ENTRIES:
                raise _too_many()
            _check_overlap(archive)
        yield archive


def entries(archive: zipfile.ZipFile) -> list[Entry]:
    """The files of an archive in its own order; folders, hidden files and macOS's own are left out.

    Sizes are what the archive says: `content` holds it to them.
    """
    listed = [Entry(info.orig_filename, info.file_size, _refusal(info), info) for info in archive.infolist()]
    return [entry for entry in listed if entry.refusal or not _is_hidden(entry)]


def content(archive: zipfile.ZipFile, entry: Entry) -> bytes:
    """Inflate one entry; it stops at the size that the entry is said to have.

    Raises:
        InputError: the entry is refused, damaged, or an archive itself.
    """
    if entry.refusal:
        raise UnsupportedImage(entry.refusal)
    pieces = []
    with _one_line(), archive.open(entry.info) as stream:
        while piece := stream.read(_PIECE):
            pieces.append(piece)
            if len(pieces) == 1 and is_archive(piece):
                raise UnsupportedImage("an archive within an archive is not opened; upload it by itself")
    return b"".join(pieces)


def _too_many() -> InputError:
    return InputError(
        f"the archive lists too many files, or too long names; at most {MAX_ENTRIES:,} entries are read, make several"
    )


@contextmanager
def _one_line() -> Iterator[None]:
    """What is wrong with an archive, in one line: hostile bytes raise almost anything."""
    try:
        yield
    except (OsteoliteError, MemoryError):
        raise
    except Exception as error:
        known = isinstance(error, zipfile.BadZipFile | EOFError | zlib.error)
        reason = "it is cut off or was changed" if known else type(error).__name__
        raise UnreadableImage(f"damaged archive ({reason}); zip the files again") from error


def _check_overlap(archive: zipfile.ZipFile) -> None:
    """Refuse entries that share bytes: a small archive of such entries inflates to one of any size."""
    spans = sorted((info.header_offset, info.header_offset + _HEADER + info.compress_size) for info in archive.filelist)
    starts = [start for start, _ in spans[1:]] + [archive.start_dir]
    if any(end > start for (_, end), start in zip(spans, starts, strict=False)) or (spans and spans[0][0] < 0):
        raise UnreadableImage("the archive's files overlap, as in one made to do harm; zip the files again")


def _refusal(info: zipfile.ZipInfo) -> str:
    """Why an entry is not read, in words, or nothing."""
    name = info.orig_filename
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in name):
        return f"the name holds invisible characters; {_NAMES}"
    if "\\" in name or name.startswith("/") or _DRIVE.match(name) or ".." in name.split("/"):
        return f"the name leads out of the archive's folder; {_NAMES}"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a link, not a file; zip the file itself"
    if info.flag_bits & _ENCRYPTED:
        return "encrypted; zip it without a password"
    if info.compress_type not in _METHODS:
        return f"compressed by method {info.compress_type}; stored and deflated files are read"
    if info.file_size > LIMITS.max_bytes:
        return f"{info.file_size:,} bytes; at most {LIMITS.max_bytes:,} are read"
    if info.file_size > _PIECE and info.file_size > MAX_RATIO * info.compress_size:
        return f"inflates to more than {MAX_RATIO} times its size; save it in another format"
    return ""


def _is_hidden(entry: Entry) -> bool:
    folders = entry.name.split("/")
    return entry.name.endswith("/") or any(folder.startswith(".") for folder in folders) or folders[0] == "__MACOSX"
