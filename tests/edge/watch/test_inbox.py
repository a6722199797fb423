"""New and complete files, each of which gets one line whatever happens."""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from osteolite.edge.watch.inbox import Inbox
from osteolite.edge.watch.journal import Journal, Version
from osteolite.edge.watch.service import Watch

NAMES = ["a.png", "b.png", "deep/c.png", "deep/er/a.png", "notes.txt", ".hidden.png", "d.png.part"]

TAILS = st.sampled_from([b"", bytes(9), b'{"fi', b'{"file": "a.png", "by'])  # the end of a journal after a power cut


def version_of(folder: Path, name: str) -> Version:
    status = (folder / name).stat()
    return Version(name, status.st_size, status.st_mtime_ns)


def read_rows(paths: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Stand-in for the model: the row holds the content of the file."""
    for path in paths:
        try:
            yield {"file": path, "label": Path(path).read_text()}
        except OSError as error:
            yield {"file": path, "error": {"type": type(error).__name__, "message": str(error)}}


def lines_of(path: Path) -> dict[Version, str]:
    """Return the label of each version; a version with two lines fails."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    found = {Version(line["file"], line["bytes"], line["modified_ns"]): line["label"] for line in lines}
    assert len(found) == len(lines)
    return found


class Crash(Exception):
    pass


class Device(RuleBasedStateMachine):
    """Files are written, extended, renamed and deleted, and the process polls, scores and crashes, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.folder, self.out = Path(self.place.name, "in"), Path(self.place.name, "results.jsonl")
        self.folder.mkdir()
        self.clock = 10**18
        self.held: dict[Version, str] = {}  # content of every version that ever existed
        self.complete: list[Version] = []
        self.start()

    def teardown(self) -> None:
        self.journal.__exit__(None, None, None)
        self.place.cleanup()

    def start(self) -> None:
        self.journal = Journal(self.out)
        self.inbox = Inbox(self.folder, self.journal)

    def touch(self, name: str) -> None:
        """Give every change its own modification time, as a disk of fine resolution does."""
        self.clock += 1000
        os.utime(self.folder / name, ns=(self.clock, self.clock))
        self.held[version_of(self.folder, name)] = (self.folder / name).read_text()

    @rule(name=st.sampled_from(NAMES), text=st.text("xyz", max_size=3), mode=st.sampled_from("wa"))
    def write(self, name: str, text: str, mode: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode) as stream:
            stream.write(text)
        self.touch(name)

    @rule(name=st.sampled_from(NAMES), new=st.sampled_from(NAMES))
    def rename(self, name: str, new: str) -> None:
        if (self.folder / name).exists():
            (self.folder / new).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).rename(self.folder / new)
            self.held[version_of(self.folder, new)] = (self.folder / new).read_text()

    @rule(name=st.sampled_from(NAMES))
    def delete(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    @rule()
    def poll(self) -> None:
        before = {name: version_of(self.folder, name) for name in NAMES if (self.folder / name).exists()}
        self.complete = self.inbox.poll()
        assert set(self.complete) <= set(before.values())
        assert self.complete == sorted(self.complete, key=lambda version: (version.modified_ns, version.file))

    @precondition(lambda self: self.complete)
    @rule(crash_at=st.none() | st.integers(0, 3), tail=TAILS)
    def score(self, crash_at: int | None, tail: bytes) -> None:
        """Score the complete files, which may have changed since; the process may crash at any image."""

        def rows(paths: Iterable[str]) -> Iterator[dict[str, Any]]:
            for number, row in enumerate(read_rows(paths)):
                if number == crash_at:
                    raise Crash
                yield row

        try:
            Watch(self.inbox, self.journal, rows).score(self.complete)
        except Crash:
            self.restart(tail)
        self.complete = []

    @rule(tail=TAILS)
    def crash(self, tail: bytes) -> None:
        self.restart(tail)

    def restart(self, tail: bytes) -> None:
        self.journal.__exit__(None, None, None)
        with self.out.open("ab") as stream:
            stream.write(tail)
        self.start()
        self.complete = []

    @invariant()
    def each_line_is_of_a_version_that_existed(self) -> None:
        assert lines_of(self.out).items() <= self.held.items()

    @rule()
    def every_unchanged_file_is_scored(self) -> None:
        watch = Watch(self.inbox, self.journal, read_rows)
        for _ in range(2):
            watch.score(self.inbox.poll())
        self.complete = []
        existing = {version_of(self.folder, name) for name in NAMES[:4] if (self.folder / name).exists()}
        assert existing <= set(lines_of(self.out))


TestDevice = Device.TestCase
TestDevice.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "results.jsonl") as journal:
        yield journal


def polled(inbox: Inbox) -> list[str]:
    inbox.poll()
    return [version.file for version in inbox.poll()]


def test_a_file_that_grows_is_not_complete(tmp_path: Path, journal: Journal) -> None:
    inbox = Inbox(tmp_path, journal)
    for size in range(1, 5):
        (tmp_path / "a.png").write_bytes(bytes(size))
        assert inbox.poll() == []
    assert inbox.poll() == [version_of(tmp_path, "a.png")]


def test_links_pipes_and_hidden_folders_are_ignored(tmp_path: Path, journal: Journal) -> None:
    folder = tmp_path / "in"
    (folder / ".cache").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    for path in (tmp_path / "outside" / "a.png", folder / ".cache" / "b.png", folder / "c.png"):
        path.write_bytes(b"...")
    (folder / "link.png").symlink_to(folder / "c.png")
    (folder / "linked").symlink_to(tmp_path / "outside")
    (folder / "round").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    assert polled(Inbox(folder, journal)) == ["c.png"]


def test_skipped_files_and_folders_are_ignored(tmp_path: Path, journal: Journal) -> None:
    (tmp_path / "maps").mkdir()
    for age, name in enumerate(("maps/a.png", "results.png", "maps.png", "a.png")):
        (tmp_path / name).write_bytes(b"...")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    other = tmp_path.with_name("link")  # the folder and the outputs may be named by a link
    other.symlink_to(tmp_path)
    for folder, beside in ((tmp_path, other), (other, tmp_path)):
        assert polled(Inbox(folder, journal, [str(beside / "maps"), str(beside / "results.png")])) == [
            "a.png",
            "maps.png",
        ]


def test_the_oldest_files_come_first(tmp_path: Path, journal: Journal) -> None:
    for age, name in enumerate(["c.png", "a.png", "b.png"]):
        (tmp_path / name).write_bytes(b"...")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert polled(Inbox(tmp_path, journal)) == ["b.png", "a.png", "c.png"]


def test_a_file_that_changes_while_it_is_scored_is_scored_again(tmp_path: Path, journal: Journal) -> None:
    path = tmp_path / "a.png"
    path.write_text("old")
    inbox = Inbox(tmp_path, journal)

    def overwriting(paths: Iterable[str]) -> Iterator[dict[str, Any]]:
        for row in read_rows(paths):
            path.write_text("newer")
            yield row

    inbox.poll()
    Watch(inbox, journal, overwriting).score(inbox.poll())
    assert lines_of(journal.path) == {}
    inbox.poll()
    Watch(inbox, journal, read_rows).score(inbox.poll())
    assert lines_of(journal.path) == {version_of(tmp_path, "a.png"): "newer"}


def test_each_line_is_written_before_the_next_image_is_scored(tmp_path: Path, journal: Journal) -> None:
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_text(name)
    seen = []

    def counting(paths: Iterable[str]) -> Iterator[dict[str, Any]]:
        for row in read_rows(paths):
            yield row
            seen.append(len(journal.path.read_bytes().splitlines()))

    inbox = Inbox(tmp_path, journal)
    inbox.poll()
    Watch(inbox, journal, counting).score(inbox.poll())
    assert seen == [1, 2, 3]


def test_an_image_that_crashes_the_process_does_not_block_the_others(tmp_path: Path) -> None:
    """Otherwise the crashing image could come first after every start."""
    folder, out = tmp_path / "in", tmp_path / "results.jsonl"
    folder.mkdir()
    for name in ("0 crash.png", *(f"{n}.png" for n in range(1, 8))):
        (folder / name).write_text(name)
        os.utime(folder / name, (1, 1))
    started = 0

    def crashing(paths: Iterable[str]) -> Iterator[dict[str, Any]]:
        for row in read_rows(paths):
            if row["label"] == "0 crash.png":
                raise Crash
            yield row
        raise AssertionError("no image crashed")

    while len(out.read_bytes().splitlines() if out.exists() else []) < 7:
        started += 1
        assert started < 200
        with Journal(out) as journal:
            watch = Watch(Inbox(folder, journal), journal, crashing)
            with pytest.raises(Crash):
                watch.run(interval=0.001)
    assert "0 crash.png" not in lines_of(out).values()
