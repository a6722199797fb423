"""Untrusted zip archives: each entry gives its content or a one-line error, within the limits."""

import io
import os
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osteolite.demo.service.archive import MAX_ENTRIES, Entry, content, entries, is_archive, open_archive
from osteolite.demo.service.model_set import LIMITS
from osteolite.edge.errors import InputError, OsteoliteError

MIB = 1024**2
Found = list[tuple[str, bytes | str]]  # name, and content or error of each entry


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], Found]:
    """Read all entries of an archive."""
    path = tmp_path / "upload.zip"

    def read(archive: bytes) -> Found:
        path.write_bytes(archive)
        with open_archive(path) as opened:
            return [(entry.name, _content(opened, entry)) for entry in entries(opened)]

    return read


def _content(archive: zipfile.ZipFile, entry: Entry) -> bytes | str:
    try:
        return content(archive, entry)
    except OsteoliteError as error:
        assert "\n" not in str(error)
        return str(error)


def zipped(*files: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return stream.getvalue()


def changed(archive: bytes, field: int, layout: str, value: int) -> bytes:
    """The archive with a changed field of the last entry in its central directory."""
    listed = bytearray(archive)
    struct.pack_into(layout, listed, archive.rindex(b"PK\1\2") + field, value)
    return bytes(listed)


def test_files_are_read_and_hidden_ones_left_out(read: Callable[[bytes], Found]) -> None:
    files = {"hand.png": os.urandom(150_000), "ward 3/Füße/ankle.png": b"two", "empty": b""}
    others = ("ward 3/", "__MACOSX/._hand.png", ".DS_Store", "ward 3/.hidden/x.png")
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        archive = zipped(*((name, b"") for name in others), *files.items(), method=method)
        assert is_archive(archive)
        assert read(archive) == list(files.items())


@pytest.mark.parametrize(
    "name",
    ["../x.png", "a/../../x.png", "/etc/passwd", "C:/x.png", "c:x.png", "..\\x.png", "a\\x.png", "\\\\host\\x"],
)
def test_path_traversal_is_refused_and_other_entries_are_read(read: Callable[[bytes], Found], name: str) -> None:
    found = read(zipped((name, b"bad"), ("good.png", b"good")))
    assert found[1] == ("good.png", b"good")
    assert found[0][0] == name
    assert "leads out of the archive's folder; give names of files and folders with / between" in str(found[0][1])


@pytest.mark.parametrize("name", ["a\nb.png", "a\x1b[2Jb.png", "gnp.\u202eexe", "a\u2028b"])
def test_name_with_invisible_characters_is_refused(read: Callable[[bytes], Found], name: str) -> None:
    assert "invisible characters" in str(read(zipped((name, b"")))[0][1])


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    for names in ([f"{number:05}" for number in range(10_000)], [f"{number}" for number in range(MAX_ENTRIES + 1)]):
        path.write_bytes(zipped(*((name, b"x") for name in names)))
        with pytest.raises(InputError, match="at most 1,000 entries each"), open_archive(path):
            pass
    path.write_bytes(zipped(*((str(number), b"x") for number in range(MAX_ENTRIES))))
    with open_archive(path) as archive:
        assert len(entries(archive)) == MAX_ENTRIES


def test_huge_central_directory_takes_little_memory(tmp_path: Path) -> None:
    (entry,) = zipped(("x", b"")).split(b"PK\1\2")[1:]
    directory = (b"PK\1\2" + entry.partition(b"PK\5\6")[0]) * 1_000_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 3, 3, len(directory), 4, 0)  # states three entries
    path = tmp_path / "many.zip"
    path.write_bytes(b"PK\3\4" + directory + end)
    del directory
    assert _peak(path) < 4 * MIB


def _peak(path: Path) -> int:
    """The peak memory of reading an archive, bytes."""
    tracemalloc.start()
    try:
        with open_archive(path) as archive:
            for entry in entries(archive):
                _content(archive, entry)
    except InputError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


def test_zip_bomb_is_not_inflated(read: Callable[[bytes], Found], tmp_path: Path) -> None:
    big = zipped(("zeros.bmp", bytes(LIMITS.max_bytes + 1)))
    assert read(big)[0][1] == f"{LIMITS.max_bytes + 1:,} bytes; at most {LIMITS.max_bytes:,} are read"
    assert "more than 200 times its size" in str(read(zipped(("zeros.bmp", bytes(60 * MIB))))[0][1])
    assert _peak(tmp_path / "upload.zip") < MIB


def test_zip_bomb_with_a_false_size_stops_at_that_size(read: Callable[[bytes], Found], tmp_path: Path) -> None:
    small = changed(zipped(("zeros.bmp", bytes(60 * MIB))), 24, "<L", 1000)
    assert "damaged archive" in str(read(small)[0][1])
    assert _peak(tmp_path / "upload.zip") < MIB
    squeezed = zlib.compress(bytes(60 * MIB))[2:-4]
    stored = changed(zipped(("a", squeezed), method=zipfile.ZIP_STORED), 10, "<H", zipfile.ZIP_DEFLATED)
    read(stored)
    assert _peak(tmp_path / "upload.zip") < MIB


def test_overstated_size_gives_the_content_or_an_error(read: Callable[[bytes], Found]) -> None:
    ((_, found),) = read(changed(zipped(("a.png", b"radiograph" * 9)), 24, "<L", 50_000))
    assert found == b"radiograph" * 9 or "damaged archive" in str(found)


def test_overlapping_entries_are_refused(read: Callable[[bytes], Found]) -> None:
    archive = zipped(("a.png", b"x" * 100), ("b.png", b"y" * 100), method=zipfile.ZIP_STORED)
    quoted = changed(archive, 42, "<L", 0)  # the second entry starts where the first does
    with pytest.raises(InputError, match="overlap"):
        read(quoted)
    with pytest.raises(InputError, match="overlap"):
        read(changed(archive, 20, "<L", 150))  # the second entry reaches into the central directory


@pytest.mark.parametrize(
    ("field", "layout", "value", "message"),
    [
        (8, "<H", 1, "encrypted; zip it without a password"),
        (10, "<H", zipfile.ZIP_LZMA, "compressed by method 14"),
        (38, "<L", 0o120777 << 16, "a link"),
    ],
)
def test_unsupported_entry_is_refused(
    read: Callable[[bytes], Found], field: int, layout: str, value: int, message: str
) -> None:
    archive = changed(zipped(("a.png", b"x"), method=zipfile.ZIP_STORED), field, layout, value)
    assert message in str(read(archive)[0][1])


def test_archive_inside_an_archive_is_not_opened(read: Callable[[bytes], Found]) -> None:
    inner = zipped(("hand.png", b"x" * 100_000))
    found = dict(read(zipped(("inner.png", inner), ("hand.png", b"x"))))
    assert "an archive inside an archive is not opened" in str(found["inner.png"])
    assert found["hand.png"] == b"x"


def test_truncated_archive_is_reported_in_one_line(read: Callable[[bytes], Found]) -> None:
    archive = zipped(("a.png", b"x" * 1000), ("b.png", b"y" * 1000))
    for end in range(4, len(archive)):
        with pytest.raises(InputError, match="damaged archive") as caught:
            read(archive[:end])
        assert "\n" not in str(caught.value)


def test_damaged_entry_is_reported_and_other_entries_are_read(read: Callable[[bytes], Found]) -> None:
    archive = bytearray(zipped(("a.png", os.urandom(500)), ("b.png", b"y" * 1000), ("c.png", b"z")))
    start = archive.index(b"b.png") + len(b"b.png")
    archive[start] = 0xFF  # not a valid deflate block
    found = dict(read(bytes(archive)))
    assert found["b.png"] == "damaged archive (it is cut off or was changed); zip the files again"
    assert found["c.png"] == b"z"


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """Archives with any names and contents, and with some bytes changed, removed or inserted."""
    some = ["../a", "/a", "a/", "a.png", "é\\", "__MACOSX/a"]
    names = st.one_of(st.text(min_size=1, max_size=20), st.sampled_from(some))
    # Names must fit into a header and have no lone surrogates.
    pairs = draw(
        st.lists(st.tuples(names.filter(lambda name: name.isprintable()), st.binary(max_size=200)), max_size=4)
    )
    method = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    archive = bytearray(zipped(*dict(pairs).items(), method=method))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(archive) - 1))
        archive[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=4))
        if not archive:
            break
    return bytes(archive)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("archives") / "any.zip"


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(archives(), st.binary(max_size=300), st.binary(max_size=200).map(lambda end: b"PK\5\6" + end)))
def test_any_bytes_give_entries_or_a_one_line_error(place: Path, archive: bytes) -> None:
    place.write_bytes(archive)
    try:
        with open_archive(place) as opened:
            for entry in entries(opened):
                found = _content(opened, entry)
                assert isinstance(found, str) or len(found) <= entry.size
    except InputError as error:
        assert "\n" not in str(error)
