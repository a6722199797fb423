"""`osteolite watch` in real processes, on a folder that others write to."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from .processes import SCRIPT, Start, lines_of, png, stop, wait_until


def test_each_file_gets_one_line_and_no_name_is_printed(folder: Path, out: Path, start: Start) -> None:
    contents = {
        "JANE DOE.png": png(255),
        "deep/er/JANE DOE.PNG": png(0),
        "JANE cut.png": png(255)[:50],
        "JANE empty.jpg": b"",
        "notes.txt": b"not an image",
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
    for name in ("JANE cut.png", "JANE empty.jpg"):
        assert found[name]["error"]["type"] == "UnreadableImage"
    first, *_, counts, last = stderr.splitlines()
    assert first == "osteolite: watching; 0 scored before"
    assert counts.endswith("4 in all")
    assert last == "osteolite: stopped; 4 scored in all"
    assert "JANE" not in stderr


def test_a_restart_scores_new_and_rewritten_files(folder: Path, out: Path, start: Start) -> None:
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


def test_a_stop_does_not_wait_for_the_queue(folder: Path, out: Path, start: Start) -> None:
    content = png(255, 1500)
    for number in range(300):
        (folder / f"{number}.png").write_bytes(content)
    process = start()
    wait_until(lambda: lines_of(out), process)
    stop(process)
    assert 0 < len(lines_of(out)) < 300


def with_map(tiny: Any) -> bytes:
    """A model whose logit is the sum of its pixels and whose activation map is the pixels."""
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
    logit = graph.tensor((1, 1), np.float32)
    graph.operator(tiny.operators.FULLY_CONNECTED, [flat, weights, bias], logit, options)
    return bytes(graph.to_bytes([picture], [logit, heat]))


def test_heatmaps_in_the_folder_are_not_scored(
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
        (["--heatmap", "in"], "is or contains the watched folder"),
        (["--heatmap", "."], "is or contains the watched folder"),
        (["--out", "missing/results.jsonl"], "No such file or directory; name a file in a writable folder"),
        (["--out", "in"], "Is a directory"),
        (["--interval", "0"], "--interval"),
    ],
)
def test_a_wrong_call_is_refused(more: list[str], message: str, folder: Path, tiny_model: Path) -> None:
    command = [str(SCRIPT), "watch", "in", "--out", "results.jsonl", "--model", str(tiny_model), *more]
    done = subprocess.run(command, cwd=folder.parent, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert message in done.stderr.decode()


def test_a_folder_that_is_missing_at_the_start_is_refused(out: Path) -> None:
    done = subprocess.run([SCRIPT, "watch", "missing", "--out", out], capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().startswith("osteolite: missing: cannot be listed: No such file or directory; name ")
    assert not out.exists()
