import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from osteolite.benchmarks.images import labelled_images
from osteolite.benchmarks.measure import measure
from osteolite.edge import FractureClassifier
from osteolite.edge.errors import ModelFileError, UsageError

OSTEOLITE = str(Path(sys.executable).with_name("osteolite"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Bright fractured and dark normal pictures, and one of each that the tiny model gets wrong."""
    for name, levels in (("fractured", (250, 220, 20)), ("normal", (5, 30, 240))):
        (tmp_path / "data" / name).mkdir(parents=True)
        for level in levels:
            Image.new("L", (40, 40), level).save(tmp_path / "data" / name / f"{level}.png")
    return tmp_path / "data"


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([OSTEOLITE, "bench", *arguments], capture_output=True, text=True, timeout=300, check=False)


def test_json_and_csv_hold_every_file_at_every_thread_count(
    tiny_model: Path, tiny_int8_model: Path, images: Path, tmp_path: Path
) -> None:
    arguments = [str(tiny_model), str(tiny_int8_model), "--data", str(images), "--threads", "1,2"]
    result = bench(*arguments, "--json", "--out", str(tmp_path / "out"))
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found == json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert [(one["variant"], one["threads"]) for one in found["results"]] == [
        ("float32", 1),
        ("float32", 2),
        ("int8", 1),
        ("int8", 2),
    ]
    for one in found["results"]:
        invoke, cold = one["milliseconds"]["invoke"], one["milliseconds"]["cold_start"]
        assert 0 < invoke["p50"] <= invoke["p90"] <= invoke["p99"]
        assert cold["process"] > cold["load"] > 0
        assert one["milliseconds"]["whole"]["runs"] == 6
        assert 10 < one["peak_mb"] < 300
        assert one["accuracy"] == pytest.approx(4 / 6, abs=1e-4)
        assert one["auroc"] == pytest.approx(6 / 9, abs=1e-4)
    assert found["conditions"]["cores"] >= 1
    assert "litert" in found["results"][0]["runtime"]
    with (tmp_path / "out" / "benchmark.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["variant"] for row in rows] == ["float32", "float32", "int8", "int8"]


def test_accuracy_is_that_of_the_device(tiny_model: Path, images: Path) -> None:
    """The same code measures accuracy and answers: no score of the benchmark's own making."""
    found = labelled_images(str(images))
    (measured,) = measure([str(tiny_model)], [1], found)
    classifier = FractureClassifier(tiny_model)
    right = [(classifier.predict(path).label == "fractured") == bool(label) for path, label in found]
    assert measured.accuracy == np.mean(right)


def test_a_router_is_measured_through_both_stages(tiny_router: Path, tiny_model: Path, images: Path) -> None:
    whole, single = measure([str(tiny_router), str(tiny_model)], [1], labelled_images(str(images)))
    assert (whole.variant, whole.auroc, whole.accuracy) == ("float32", single.auroc, single.accuracy)
    assert np.median(whole.invoke) > 0


def test_memory_is_the_process_own(tiny_model: Path) -> None:
    """What the caller holds is not counted."""
    held = np.ones(100_000_000, np.float32)
    (measured,) = measure([str(tiny_model)], [1], [])
    assert measured.peak_mb < held.nbytes / 2**20


def test_without_images_there_is_no_accuracy(tiny_model: Path) -> None:
    result = bench(str(tiny_model), "--threads", "1")
    assert result.returncode == 0
    assert "p50" in result.stdout
    assert "AUROC" not in result.stdout


def test_a_csv_names_images_relative_to_itself(images: Path) -> None:
    listing = images / "list.csv"
    listing.write_text("file,label\nfractured/250.png,1\nnormal/5.png,0\n")
    assert [label for _, label in labelled_images(str(listing))] == [1, 0]
    assert all(Path(path).is_file() for path, _ in labelled_images(str(listing)))


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "file,label\nx.png,many\n", "file,label\nx.png,1\n"])
def test_a_list_without_both_classes_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(UsageError, match=r"list\.csv"):
        labelled_images(str(tmp_path / "list.csv"))


def test_an_image_that_cannot_be_read_is_named(tiny_model: Path, images: Path) -> None:
    (images / "normal" / "broken.png").write_bytes(b"no image")
    with pytest.raises(ModelFileError, match=r"broken\.png: not an image"):
        measure([str(tiny_model)], [1], labelled_images(str(images)))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing.tflite"], 1, "cannot be opened"),
        (["MODEL", "--threads", "0"], 2, "--threads 0"),
        (["MODEL", "--threads", "two"], 2, "--threads two"),
        (["MODEL", "--data", "nowhere"], 2, "neither a folder"),
    ],
)
def test_a_wrong_call_says_so(tiny_model: Path, arguments: list[str], code: int, message: str) -> None:
    result = bench(*(str(tiny_model) if a == "MODEL" else a for a in arguments))
    assert result.returncode == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr
