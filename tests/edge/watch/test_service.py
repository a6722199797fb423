"""`osteolite watch` as a device has it: real processes on a folder that others write to, killed at any time."""

import io
import json
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

SCRIPT = Path(sys.executable).with_name("osteolite")
Start = Callable[..., "subprocess.Popen[bytes]"]
Key = tuple[str, int, int]
LABELS = {255: "fractured", 0: "normal"}  # what the tiny model makes of a plain image


def png(level: int, size: int = 40) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (size, size), level).save(stream, "PNG")
    return stream.getvalue()


def key_of(folder: Path, path: Path) -> Key:
    status = path.stat()
    return str(path.relative_to(folder)), status.st_size, status.st_mtime_ns


def lines_of(out: Path) -> list[dict[str, Any]]:
    content = out.read_bytes() if out.exists() else b""
    return [json.loads(line) for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def keys_of(out: Path) -> Counter[Key]:
    return Counter((line["file"], line["bytes"], line["modified_ns"]) for line in lines_of(out))


def wait_until(condition: Callable[[], object], process: "subprocess.Popen[bytes] | None" = None) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def stop(process: "subprocess.Popen[bytes]", number: int = signal.SIGTERM) -> str:
    """Standard error of a watch that was stopped, as it should end."""
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (0, b"")
    return stderr.decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


@pytest.fixture
def start(folder: Path, out: Path, tiny_model: Path) -> Iterator[Start]:
    processes = []

    def start(*more: str | Path) -> "subprocess.Popen[bytes]":
        command = [SCRIPT, "watch", folder, "--out", out, "--model", tiny_model, "--interval", "0.1", *more]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_each_file_gets_one_line_and_no_name_is_told(folder: Path, out: Path, start: Start) -> None:
    contents = {
        "JANE DOE.png": png(255),
        "deep/er/JANE DOE.PNG": png(0),
        "JANE torn.png": png(255)[:50],
        "JANE empty.jpg": b"",
        "notes.txt": b"no image",
        ".JANE hidden.png": png(255),
        "JANE.png.part": png(255),
    }
    (folder / "deep" / "er").mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    process = start()
    wait_until(lambda: len(lines_of(out)) == 4, process)
    time.sleep(0.5)
    stderr = stop(process)
    found = {line["file"]: line for line in lines_of(out)}
    assert len(found) == len(lines_of(out)) == 4
    for name, label in {"JANE DOE.png": "fractured", "deep/er/JANE DOE.PNG": "normal"}.items():
        status = (folder / name).stat()
        assert list(found[name])[:3] == ["file", "bytes", "modified_ns"]
        assert (found[name]["bytes"], found[name]["modified_ns"]) == (status.st_size, status.st_mtime_ns)
        assert (found[name]["label"], found[name]["model"]) == (label, "tiny_float32")
    for name in ("JANE torn.png", "JANE empty.jpg"):
        assert found[name]["error"]["type"] == "UnreadableImage"
    first, *_, counts, last = stderr.splitlines()
    assert first == "osteolite: watching; 0 scored before"
    assert counts.endswith("4 in all")
    assert last == "osteolite: stopped; 4 scored in all"
    assert "JANE" not in stderr


def test_a_restart_scores_what_is_new_and_what_was_written_again(folder: Path, out: Path, start: Start) -> None:
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(png(255))
    process = start()
    wait_until(lambda: len(lines_of(out)) == 2, process)
    (folder / "b.png").write_bytes(png(0, 50))
    wait_until(lambda: len(lines_of(out)) == 3, process)
    stop(process)
    (folder / "a.png").write_bytes(png(0, 50))
    (folder / "c.png").write_bytes(png(0, 50))
    process = start()
    wait_until(lambda: len(lines_of(out)) == 5, process)
    time.sleep(0.5)
    assert "osteolite: watching; 3 scored before" in stop(process, signal.SIGINT)
    found = [(line["file"], line["label"]) for line in lines_of(out)]
    assert sorted(found[:2]) == [("a.png", "fractured"), ("b.png", "fractured")]
    assert found[2] == ("b.png", "normal")
    assert sorted(found[3:]) == [("a.png", "normal"), ("c.png", "normal")]


class Machine:
    """Writes, moves, rewrites and deletes files, as X-ray machines and people do."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.held: dict[Key, str] = {}  # what was in each version that was complete
        self.ended = False

    def run(self, seconds: float) -> None:
        end, number = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            path = self.folder / self.random.choice(["", "study 1", "study 2"]) / f"{number}.png"
            there = sorted(self.folder.rglob("*.png"))
            if there and self.random.random() < 0.3:
                path = self.random.choice(there)  # written again
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
                time.sleep(self.random.choice([0, 0.01, 0.05, 0.25]))  # also longer than the interval
        self.held[key_of(self.folder, path)] = LABELS[level]

    def moved_in(self, path: Path) -> None:
        level = self.random.choice(list(LABELS))
        part = path.with_name(f".{path.name}.part")
        path.parent.mkdir(exist_ok=True)
        part.write_bytes(png(level, self.random.randrange(20, 200)))
        time.sleep(0.02)
        part.rename(path)
        self.held[key_of(self.folder, path)] = LABELS[level]

    def delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_any_time_each_file_gets_one_line(folder: Path, out: Path, start: Start, seed: int) -> None:
    machine, chance = Machine(folder, seed), random.Random(seed)
    writing = threading.Thread(target=machine.run, args=(8,))
    writing.start()
    while not machine.ended:
        process = start()
        wait_until(lambda: machine.ended or out.exists())  # it is up; from here it may die at any time
        time.sleep(chance.uniform(0, 2.5))
        process.kill()
        process.wait()
    writing.join()
    assert lines_of(out)
    process = start()
    (folder / "last.png").write_bytes(png(255))
    machine.held[key_of(folder, folder / "last.png")] = "fractured"
    there = {key_of(folder, path) for path in folder.rglob("*.png")}
    wait_until(lambda: there <= set(keys_of(out)), process)
    stop(process)
    found = keys_of(out)
    assert len(there) > 10
    assert set(found.values()) == {1}
    for line in lines_of(out):
        label = machine.held.get((line["file"], line["bytes"], line["modified_ns"]))
        assert label in (None, line.get("label"))  # None: it was left alone half written for longer than the interval


def test_a_second_watch_on_the_same_results_is_refused(folder: Path, out: Path, start: Start) -> None:
    first = start()
    wait_until(out.exists, first)
    second = start()
    _, stderr = second.communicate(timeout=60)
    assert second.returncode == 2
    assert stderr.decode() == (
        f"osteolite: {out}: another `osteolite watch` writes to it; stop that one or name another file\n"
    )
    stop(first)


def test_a_folder_that_goes_away_is_waited_for(folder: Path, out: Path, start: Start) -> None:
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


def test_a_full_disk_ends_it_and_the_next_start_goes_on(folder: Path, out: Path, start: Start) -> None:
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


def test_a_stop_does_not_wait_for_the_queue(folder: Path, out: Path, start: Start) -> None:
    content = png(255, 1500)
    for number in range(300):
        (folder / f"{number}.png").write_bytes(content)
    process = start()
    wait_until(lambda: lines_of(out), process)
    stop(process)
    assert 0 < len(lines_of(out)) < 300


def with_map(tiny: Any) -> bytes:
    """A model whose answer is the sum of its pixels, and whose map of activations is the pixels themselves."""
    graph = tiny.graph()
    picture = graph.tensor((1, 32, 32, 1), np.float32)
    flat, heat = (
        graph.operator(
            tiny.operators.RESHAPE, [picture, graph.constant(shape, np.int32)], graph.tensor(shape, np.float32)
        )
        for shape in ((1, 1024), (1, 32, 32, 1))
    )
    options = (schema.BuiltinOptions.FullyConnectedOptions, schema.FullyConnectedOptionsT())
    weights, bias = graph.constant(np.ones((1, 1024)), np.float32), graph.constant([0], np.float32)
    answer = graph.tensor((1, 1), np.float32)
    graph.operator(tiny.operators.FULLY_CONNECTED, [flat, weights, bias], answer, options)
    return bytes(graph.to_bytes([picture], [answer, heat]))


def test_pictures_that_lie_in_the_folder_are_no_input(
    folder: Path, out: Path, start: Start, tiny: Any, save_model: Callable[..., Path]
) -> None:
    model = save_model(with_map(tiny))
    for name in ("a.png", "ward/a.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(png(255))
    process = start("--model", model, "--heatmap", folder / "maps")
    wait_until(lambda: len(lines_of(out)) == 2, process)
    time.sleep(0.5)
    stop(process)
    drawn = {line["file"]: Path(line["heatmap"]) for line in lines_of(out)}
    assert set(drawn) == {"a.png", "ward/a.png"}
    assert set(drawn.values()) == {path for path in (folder / "maps").rglob("*") if path.is_file()}
    for path in drawn.values():
        with Image.open(path) as image:
            assert image.size == (40, 40)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--heatmap", "in"], "the watched folder is in it or is it"),
        (["--heatmap", "."], "the watched folder is in it or is it"),
        (["--out", "missing/results.jsonl"], "No such file or directory; name a file in a folder"),
        (["--out", "in"], "Is a directory"),
        (["--interval", "0"], "--interval"),
    ],
)
def test_a_wrong_call(more: list[str], message: str, folder: Path, tiny_model: Path) -> None:
    command = [SCRIPT, "watch", "in", "--out", "results.jsonl", "--model", tiny_model, *more]
    done = subprocess.run(command, cwd=folder.parent, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert message in done.stderr.decode()


def test_a_folder_that_is_missing_at_the_start(out: Path) -> None:
    done = subprocess.run([SCRIPT, "watch", "missing", "--out", out], capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().startswith("osteolite: missing: cannot be listed: No such file or directory; name ")
    assert not out.exists()
