"""Read images from an untrusted zip archive in memory; nothing is written to disk."""

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

MAX_ENTRIES = 1000  # entries of an archive, including folders and hidden files
MAX_RATIO = 200  # maximum compression ratio of an entry; deflate reaches 1032 on zeros alone
_MAX_DIRECTORY = 256 * 1024  # bytes of the central directory, and of any single read
_CHUNK = 64 * 1024  # bytes inflated at a time
_HEADER = 30  # bytes of a local file header without the name
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the methods that inflate chunk by chunk
_ENCRYPTED = 0x1  # general purpose flag
_START = b"PK\3\4"
_EMPTY = b"PK\5\6"
_DRIVE = re.compile(r"[A-Za-z]:")
_NAMES = "give names of files and folders with / between them, such as ward/hand.png"


@dataclass(frozen=True)
class Entry:
    """A file in an archive, as the archive describes it."""

    name: str  # as stored in the archive; may hold any text
    size: int  # stated size in bytes, which is also the most that is inflated
    refusal: str  # why the entry is not read; "" if it is
    info: zipfile.ZipInfo


class _Archive(io.BufferedReader):
    """A file that refuses large reads, so that `zipfile` cannot load a huge central directory."""

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(_MAX_DIRECTORY + 1 if size is None or size < 0 else min(size, _MAX_DIRECTORY + 1))
        if len(content) > _MAX_DIRECTORY:
            raise _too_many()
        return content


def is_archive(start: bytes) -> bool:
    """Whether a file starts as a zip archive does, whatever its name.

    >>> is_archive(b"PK\\3\\4...."), is_archive(b"GIF8....")
    (True, False)
    """
    return start.startswith((_START, _EMPTY))


@contextmanager
def open_archive(path: str | os.PathLike[str]) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive and read its list of entries, within the limits.

    Raises:
        InputError: the archive is damaged, has too many entries, or has entries that overlap.
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
    """The files of an archive in stored order, without folders, hidden files and the metadata of macOS.

    Sizes are those the archive states; `content` never inflates more.
    """
    listed = [Entry(info.orig_filename, info.file_size, _refusal(info), info) for info in archive.infolist()]
    return [entry for entry in listed if entry.refusal or not _is_hidden(entry)]


def content(archive: zipfile.ZipFile, entry: Entry) -> bytes:
    """Inflate one entry, at most up to its stated size.

    Raises:
        InputError: the entry is refused, damaged, or itself an archive.
    """
    if entry.refusal:
        raise UnsupportedImage(entry.refusal)
    chunks = []
    with _one_line(), archive.open(entry.info) as stream:
        while chunk := stream.read(_CHUNK):
            chunks.append(chunk)
            if len(chunks) == 1 and is_archive(chunk):
                raise UnsupportedImage("an archive inside an archive is not opened; upload it separately")
    return b"".join(chunks)


def _too_many() -> InputError:
    return InputError(
        f"the archive has too many files or too long names; make several of at most {MAX_ENTRIES:,} entries each"
    )


@contextmanager
def _one_line() -> Iterator[None]:
    """Turn any error about an archive into one line: hostile bytes raise almost any exception."""
    try:
        yield
    except (OsteoliteError, MemoryError):
        raise
    except Exception as error:
        known = isinstance(error, zipfile.BadZipFile | EOFError | zlib.error)
        reason = "it is cut off or was changed" if known else type(error).__name__
        raise UnreadableImage(f"damaged archive ({reason}); zip the files again") from error


def _check_overlap(archive: zipfile.ZipFile) -> None:
    """Refuse entries that overlap: a small archive of such entries can inflate to any size."""
    spans = sorted((info.header_offset, info.header_offset + _HEADER + info.compress_size) for info in archive.filelist)
    starts = [start for start, _ in spans[1:]] + [archive.start_dir]
    if any(end > start for (_, end), start in zip(spans, starts, strict=False)) or (spans and spans[0][0] < 0):
        raise UnreadableImage("the archive's files overlap, as in a zip bomb; zip the files again")


def _refusal(info: zipfile.ZipInfo) -> str:
    """Why an entry is not read; "" if it is."""
    name = info.orig_filename
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in name):
        return f"the name has invisible characters; {_NAMES}"
    if "\\" in name or name.startswith("/") or _DRIVE.match(name) or ".." in name.split("/"):
        return f"the name leads out of the archive's folder; {_NAMES}"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a link, not a file; zip the file itself"
    if info.flag_bits & _ENCRYPTED:
        return "encrypted; zip it without a password"
    if info.compress_type not in _METHODS:
        return f"compressed by method {info.compress_type}; use stored or deflated files"
    if info.file_size > LIMITS.max_bytes:
        return f"{info.file_size:,} bytes; at most {LIMITS.max_bytes:,} are read"
    if info.file_size > _CHUNK and info.file_size > MAX_RATIO * info.compress_size:
        return f"inflates to more than {MAX_RATIO} times its size; save it in another format"
    return ""


def _is_hidden(entry: Entry) -> bool:
    folders = entry.name.split("/")
    return entry.name.endswith("/") or any(folder.startswith(".") for folder in folders) or folders[0] == "__MACOSX"
