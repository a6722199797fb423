"""`osteolite watch` that is killed, and with a full disk or a missing folder."""

import random
import resource
import threading
import time
from pathlib import Path

import pytest

from .processes import LABELS, Key, Start, key_of, keys_of, lines_of, png, stop, wait_until


class Machine:
    """Writes, moves, rewrites and deletes files, as X-ray machines and people do."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.held: dict[Key, str] = {}  # label of each complete version
        self.ended = False

    def run(self, seconds: float) -> None:
        end, number = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            path = self.folder / self.random.choice(["", "study 1", "study 2"]) / f"{number}.png"
            existing = sorted(self.folder.rglob("*.png"))
            if existing and self.random.random() < 0.3:
                path = self.random.choice(existing)  # write it again
            self.random.choice([self.slowly, self.slowly, self.moved_in, self.delete])(path)
            number += 1
        self.ended = True

    def slowly(self, path: Path) -> None:
        level, size = self.random.choice(list(LABELS)), self.random.randrange(20, 200)
        content = png(level, size)
        path.parent.mkdir(exist_ok=True)
        with path.open("wb", buffering=0) as stream:
            for begin in range(0, len(content), len(content) // 3):
                stream.write(content[begin : begin + len(content) // 3])
                time.sleep(self.random.choice([0, 0.01, 0.05, 0.25]))  # sometimes longer than the interval
        self.held[key_of(self.folder, path)] = LABELS[level]

    def moved_in(self, path: Path) -> None:
        level = self.random.choice(list(LABELS))
        temporary = path.with_name(f".{path.name}.part")
        path.parent.mkdir(exist_ok=True)
        temporary.write_bytes(png(level, self.random.randrange(20, 200)))
        time.sleep(0.02)
        temporary.rename(path)
        self.held[key_of(self.folder, path)] = LABELS[level]

    def delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_each_file_gets_one_line_if_the_process_is_killed_at_any_time(
    folder: Path, out: Path, start: Start, seed: int
) -> None:
    machine, chance = Machine(folder, seed), random.Random(seed)
    writing = threading.Thread(target=machine.run, args=(8,))
    writing.start()
    while not machine.ended:
        process = start()
        wait_until(lambda: machine.ended or out.exists())  # it has started; from here it may be killed at any time
        time.sleep(chance.uniform(0, 2.5))
        process.kill()
        process.wait()
    writing.join()
    assert lines_of(out)
    process = start()
    (folder / "last.png").write_bytes(png(255))
    machine.held[key_of(folder, folder / "last.png")] = "fractured"
    existing = {key_of(folder, path) for path in folder.rglob("*.png")}
    wait_until(lambda: existing <= set(keys_of(out)), process)
    stop(process)
    found = keys_of(out)
    assert len(existing) > 10
    assert set(found.values()) == {1}
    for line in lines_of(out):
        label = machine.held.get((line["file"], line["bytes"], line["modified_ns"]))
        assert label in (None, line.get("label"))  # None: a partial file, unchanged for longer than the interval


def test_watch_waits_for_a_missing_folder(folder: Path, out: Path, start: Start) -> None:
    (folder / "a.png").write_bytes(png(255))
    process = start()
    wait_until(lambda: len(lines_of(out)) == 1, process)
    away = folder.with_name("away")
    folder.rename(away)
    time.sleep(0.5)
    (away / "b.png").write_bytes(png(0))
    away.rename(folder)
    wait_until(lambda: len(lines_of(out)) == 2, process)
    stderr = stop(process)
    assert stderr.count("the folder cannot be read (No such file or directory); waiting for it to come back") == 1
    assert stderr.count("the folder is back") == 1
    assert [line["file"] for line in lines_of(out)] == ["a.png", "b.png"]


def test_a_full_disk_ends_watch_and_a_restart_continues(folder: Path, out: Path, start: Start) -> None:
    (folder / "a.png").write_bytes(png(255))
    process = start()
    wait_until(lambda: len(lines_of(out)) == 1, process)
    whole = out.read_bytes()
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (len(whole) + 20, len(whole) + 20))
    (folder / "b.png").write_bytes(png(0))
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr.decode().splitlines()[-1].startswith(f"osteolite: {out}: cannot be written: ")
    assert out.read_bytes() == whole
    process = start()
    wait_until(lambda: len(lines_of(out)) == 2, process)
    stop(process)
    assert [line["file"] for line in lines_of(out)] == ["a.png", "b.png"]
