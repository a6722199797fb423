import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from osteolite.benchmarks.labelled_images import labelled_images
from osteolite.edge.errors import UsageError

OSTEOLITE = str(Path(sys.executable).with_name("osteolite"))


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([OSTEOLITE, "bench", *arguments], capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_json_csv_and_markdown_hold_every_file_at_every_thread_count(
    tiny_model: Path, tiny_int8_model: Path, bench_images: Path, tmp_path: Path
) -> None:
    arguments = [str(tiny_model), str(tiny_int8_model), "--data", str(bench_images), "--threads", "1,2"]
    result = bench(*arguments, "--launches", "6", "--json", "--out", str(tmp_path / "out"))
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found == json.loads((tmp_path / "out" / "benchmark.json").read_text())
    measured = [(one["variant"], one["threads"]) for one in found["results"]]
    assert measured == [("float32", 1), ("float32", 2), ("int8", 1), ("int8", 2)]
    for one in found["results"]:
        invoke, cold = one["milliseconds"]["invoke"], one["milliseconds"]["cold_start"]
        assert 0 < invoke["p50"] <= invoke["p90"] <= invoke["p99"]
        assert invoke["intervals"]["p50"][0] <= invoke["p50"] <= invoke["intervals"]["p50"][1]
        assert len(invoke["launches"]) == 6
        assert len(invoke["distribution"]) == 41
        assert cold["process"] > cold["load"] > 0
        assert one["milliseconds"]["whole"]["runs"] == 6
        assert 10 < one["steady_mb"] <= one["peak_mb"] < 300
        assert one["accuracy"] == pytest.approx(4 / 6, abs=1e-4)
        assert one["auroc"] == pytest.approx(6 / 9, abs=1e-4)
        assert one["valid"] == (not one["reasons"])
    assert found["schema"] == 2
    assert found["conditions"]["cores"] >= 1
    assert "litert" in found["results"][0]["runtime"]
    assert found["results"][2]["relative"]["to"] == tiny_model.name
    with (tmp_path / "out" / "benchmark.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["variant"] for row in rows] == ["float32", "float32", "int8", "int8"]
    assert (tmp_path / "out" / "benchmark.md").read_text().count("\n") == 6


def test_without_images_there_is_no_accuracy(tiny_model: Path) -> None:
    result = bench(str(tiny_model), "--threads", "1", "--launches", "1")
    assert result.returncode == 0
    assert "p50" in result.stdout
    assert "AUROC" not in result.stdout
    assert "not valid, 1 of 1 results: too short: 1 launches, 6 are needed" in result.stderr


def test_a_failing_file_is_reported_and_the_others_are_measured(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"no model")
    result = bench(str(tmp_path / "broken.tflite"), str(tiny_model), "--threads", "1", "--launches", "1", "--json")
    assert result.returncode == 1
    found = json.loads(result.stdout)
    assert [one["file"] for one in found["results"]] == [tiny_model.name]
    assert "broken.tflite" in next(iter(found["left_out"]))
    assert "left out: broken.tflite" in result.stderr


def test_a_missing_delegate_is_reported_and_the_others_are_measured(tiny_model: Path, tmp_path: Path) -> None:
    missing = f"xnnpack,{tmp_path}/none.so"
    result = bench(str(tiny_model), "--threads", "1", "--launches", "1", "--delegate", missing, "--json")
    found = json.loads(result.stdout)
    assert result.returncode == 1
    assert [one["delegate"]["asked"] for one in found["results"]] == ["xnnpack"]
    assert "cannot be loaded" in next(iter(found["left_out"].values()))


def test_help_lists_the_options_and_the_subcommands() -> None:
    result = bench("--help")
    assert result.returncode == 0
    for word in ("--threads", "--mlperf", "bench report", "bench compare", "bench import"):
        assert word in result.stdout


def test_paths_in_a_csv_are_relative_to_it(bench_images: Path) -> None:
    listing = bench_images / "list.csv"
    listing.write_text("file,label\nfractured/250.png,1\nnormal/5.png,0\n")
    assert [label for _, label in labelled_images(str(listing))] == [1, 0]
    assert all(Path(path).is_file() for path, _ in labelled_images(str(listing)))


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "file,label\nx.png,many\n", "file,label\nx.png,1\n"])
def test_a_list_without_both_classes_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(UsageError, match=r"list\.csv"):
        labelled_images(str(tmp_path / "list.csv"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing.tflite"], 1, "cannot be opened"),
        (["MODEL", "--threads", "0"], 2, "'--threads': '0': give numbers of 1 or more"),
        (["MODEL", "--threads", "two"], 2, "'--threads': 'two': give numbers of 1 or more"),
        (["MODEL", "--data", "nowhere"], 2, "neither a folder"),
        (["MODEL", "--device", "toaster"], 2, "--device toaster: give one of local, ssh://"),
        (["MODEL", "--launches", "0"], 2, "--launches"),
        (["report"], 2, "DIR"),
    ],
)
def test_wrong_arguments_are_refused(tiny_model: Path, arguments: list[str], code: int, message: str) -> None:
    result = bench(*(str(tiny_model) if a == "MODEL" else a for a in arguments))
    assert result.returncode == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr
