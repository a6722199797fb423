"""The journal: incomplete, damaged and foreign files, a full disk, several processes."""

import json
import os
import resource
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.edge.errors import OsteoliteError, UsageError
from osteolite.edge.watch.journal import Journal, Version

A, B = Version("a.png", 10, 1), Version("b.png", 20, 2)
# As the file system gives them: bytes that are not text become lone surrogates.
names = st.binary(min_size=1, max_size=12).map(os.fsdecode)
versions = st.builds(Version, names, st.integers(0, 2**63), st.integers(-(2**40), 2**63))
HOLDING = (  # a process that keeps a journal open until its standard input closes
    "import sys; from osteolite.edge.watch.journal import Journal\n"
    "with Journal(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
)


def rows_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_line_holds_the_version_and_the_row(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with Journal(path) as journal:
        journal.append(A, {"label": "normal"})
        assert path.read_bytes() == b'{"file": "a.png", "bytes": 10, "modified_ns": 1, "label": "normal"}\n'
        assert (A in journal, B in journal, len(journal)) == (True, False, 1)


@given(st.lists(versions, unique=True, max_size=6), st.data())
def test_only_an_incomplete_end_is_removed(
    tmp_path_factory: pytest.TempPathFactory, done: list[Version], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("incomplete") / "results.jsonl"
    ends = []
    with Journal(path) as journal:
        for version in done:
            journal.append(version, {"label": "normal"})
            ends.append(path.stat().st_size)
    content = path.read_bytes()
    # A power cut removes the end of the file, or leaves zeros there.
    kept = data.draw(st.integers(0, len(content)), label="kept")
    zeros = data.draw(st.integers(0, 20), label="zeros")
    path.write_bytes(content[:kept] + bytes(zeros))

    with Journal(path) as journal:
        whole = [version for version, end in zip(done, ends, strict=True) if end <= kept]
        assert [version for version in done if version in journal] == whole
        assert path.read_bytes() == content[: max([end for end in ends if end <= kept], default=0)]
        for version in done[len(whole) :]:
            journal.append(version, {"label": "normal"})
    assert path.read_bytes() == content


def test_a_last_line_with_zeros_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with Journal(path) as journal:
        journal.append(A, {})
        journal.append(B, {})
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + bytes(len(second) - 5) + second[-5:])
    with Journal(path) as journal:
        assert (A in journal, B in journal) == (True, False)
    assert path.read_bytes() == first


def test_a_damaged_line_before_the_last_affects_only_its_file(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with Journal(path) as journal:
        journal.append(A, {})
        journal.append(B, {})
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first.replace(b"10", b"\xff\xff") + second)
    with Journal(path) as journal:
        assert (A in journal, B in journal) == (False, True)
        journal.append(A, {})
    assert path.read_bytes().endswith(second + first)


@pytest.mark.parametrize(
    "content",
    [
        b"name,age\nA,4\n",
        b"no line end",
        b"\n",
        b'{"file": "a.png", "label": "normal"}\n',  # of `osteolite predict`
        b'{"file": "a.png", "bytes": null, "modified_ns": 4}\n',
        b'["file"]\n',
        b"null\n",
        b"{\n" * 10,
        b'{"file": "' + b"a" * (1 << 20) + b"a" * 10,
    ],
    ids=lambda content: content[:12],
)
def test_another_file_is_refused_and_unchanged(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"other\.jsonl: line \d was not written by `osteolite watch`"):
        Journal(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing/results.jsonl", "No such file or directory; name a file in a writable folder"),
        (".", "Is a directory"),
        ("/sys/devices/system/cpu/online", "Permission denied|Read-only"),
        ("/dev/null", "not a regular file"),
    ],
)
def test_a_path_that_cannot_be_a_journal_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        Journal(tmp_path / name)


def test_only_one_process_opens_a_journal_and_killing_it_releases_it(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match="another `osteolite watch` writes to it"):
            Journal(path)
        holder.kill()
    with Journal(path) as journal:
        assert len(journal) == 0


def test_a_full_disk_leaves_no_partial_line(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(path) as journal:
        journal.append(A, {})
        whole = path.read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, before[1]))  # space for ten bytes of the line
        try:
            with pytest.raises(OsteoliteError, match=r"results\.jsonl: cannot be written: .*; no result is lost"):
                journal.append(B, {})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert path.read_bytes() == whole
        assert B not in journal


@pytest.mark.parametrize("replaced", [True, False])
def test_a_removed_or_replaced_file_is_not_written(replaced: bool, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with Journal(path) as journal:
        path.unlink()
        if replaced:
            path.write_bytes(b"")
        with pytest.raises(OsteoliteError, match=r"cannot be written: .*(replaced|No such file)"):
            journal.append(A, {})
        assert A not in journal


def test_a_long_journal_takes_little_memory(tmp_path: Path) -> None:
    path, count = tmp_path / "results.jsonl", 20_000
    with path.open("w") as stream:
        for number in range(count):
            row = {**Version(f"2026/study {number:06}/{'x' * 200}.png", 10**6, 10**18 + number)._asdict()}
            stream.write(json.dumps({**row, "label": "normal"}) + "\n")
    tracemalloc.start()
    try:
        with Journal(path) as journal:
            assert len(journal) == count
            assert tracemalloc.get_traced_memory()[1] < 200 * count
    finally:
        tracemalloc.stop()
