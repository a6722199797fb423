"""Measurements against peers, and that they compare the same computation."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from osteolite.benchmarks.harness import minimal, peers
from osteolite.benchmarks.options import run
from osteolite.benchmarks.studies import answers, decoding, overhead, selection, startup, throughput, turns
from osteolite.edge import FractureClassifier
from osteolite.edge.errors import OsteoliteError, UsageError
from osteolite.edge.inference.engine import runtime_name

pytestmark = pytest.mark.slow

SPEC = {"width": 32, "height": 48}


@pytest.fixture
def model(tiny: Any, save_model: Callable[..., Path]) -> str:
    """A model that peers support: RGB from -1 to 1, black bars."""
    return str(save_model(tiny.mean((1, 48, 32, 3)), preprocessing=SPEC))


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    """Two small JPEGs, and one large enough for reduced decoding, which changes its edges."""
    (tmp_path / "images").mkdir()
    files = []
    for size, bright in (((40, 60), 200), ((60, 40), 90), ((400, 600), 160)):
        picture = np.full(size[::-1], 20, np.uint8)
        picture[::3, size[0] // 3 :] = bright
        files.append(str(tmp_path / "images" / f"{size[0]}x{size[1]}.jpg"))
        Image.fromarray(picture).save(files[-1])
    return files


def call(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"osteolite.benchmarks.studies.{module}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_every_contender_runs_on_every_item_in_every_round() -> None:
    calls: list[tuple[str, int]] = []
    contenders = {name: lambda item, name=name: calls.append((name, item)) for name in "ab"}
    spent = turns.interleaved(contenders, [1, 2, 3], rounds=4)
    assert {name: values.shape for name, values in spent.items()} == {"a": (4, 3), "b": (4, 3)}
    assert sorted(calls) == sorted(
        (name, item) for name in "ab" for item in (1, 2, 3) for _ in range(5)
    )  # 1 to warm up
    pairs = [calls[i : i + 2] for i in range(0, len(calls), 2)]
    assert all({name for name, _ in pair} == {"a", "b"} and len({item for _, item in pair}) == 1 for pair in pairs)
    assert {pair[0][0] for pair in pairs} == {"a", "b"}, "one contender always went first"


def test_the_interval_contains_the_median_of_the_pairs() -> None:
    values = np.random.default_rng(0).normal(2.0, 0.1, (8, 20))
    found = turns.paired(values)
    assert found["median"] == pytest.approx(np.median(values), abs=1e-4)
    assert 1.9 < found["low"] < found["median"] < found["high"] < 2.1
    assert turns.paired(np.full((3, 2), 1.5)) == {"median": 1.5, "low": 1.5, "high": 1.5}


def test_the_command_writes_the_documented_json(model: str, images: list[str], tmp_path: Path) -> None:
    folder = str(Path(images[0]).parent)
    arguments = [folder, "--model", model, "--rounds", "2", "--threads", "1,2", "--out", str(tmp_path / "out")]
    result = call("answers", *arguments)
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "out" / "answers.json").read_text()
    found = json.loads(text)
    assert str(tmp_path) not in text, "an absolute path in the results"
    assert found["images"] == {"count": 3, "pixels": {"least": 2400, "most": 240000}}
    assert len(found["conditions"]["load_average"]) == 3
    assert [one["threads"] for one in found["results"]] == [1, 2]
    for one in found["results"]:
        assert {*one["answers"], *one["left_out"]} == set(peers.PEERS)
        assert one["answers"]["osteolite"]["ratio"] == {"median": 1.0, "low": 1.0, "high": 1.0}
        assert one["answers"]["plain"]["runtime"] == runtime_name()
        assert 0 < one["answers"]["plain"]["p50"] <= one["answers"]["plain"]["p90"]
        assert one["answers"]["plain"]["difference"]["largest"] < 0.05
        assert one["invoke"]["added_ms"]["low"] <= one["invoke"]["added_ms"]["high"]
    assert "plain" in result.stderr


def test_a_peer_that_is_not_installed_is_named(model: str, images: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    others = {"mediapipe", "onnxruntime", "openvino", "tensorflow"}
    for module in others:
        monkeypatch.setitem(sys.modules, module, None)
    found = answers.measure_answers(peers.Setup(model, 1), images, rounds=1)
    assert set(found["answers"]) == {"osteolite", "plain"}
    assert set(found["left_out"]) == others
    assert all(reason.startswith("not installed") for reason in found["left_out"].values())


def test_a_peer_with_a_different_network_is_left_out(
    model: str, images: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def shifted(setup: peers.Setup, by: float) -> Iterator[peers.Contender]:
        with peers.PEERS["plain"].open(setup) as plain:
            yield replace(plain, answer=lambda path: plain.answer(path) + by)

    for name, by in (("wrong", 0.1), ("rounding", 0.005)):
        monkeypatch.setitem(peers.PEERS, name, peers.Peer(name, True, partial(shifted, by=by)))
    found = answers.measure_answers(peers.Setup(model, 1), images, rounds=1)
    assert "rounding" in found["answers"]
    assert "wrong" not in found["answers"]
    assert "different network" in found["left_out"]["wrong"]


def test_the_plain_peer_gives_the_same_probability(model: str, images: list[str]) -> None:
    """For any size and shape, as long as no image is decoded at a lower scale."""
    classifier = FractureClassifier(model)
    with peers.PEERS["plain"].open(peers.Setup(model, 1)) as plain:
        for image in images[:2]:
            assert plain.answer(image) == pytest.approx(classifier.predict(image).fracture_probability, abs=1e-5)


def test_a_model_that_peers_do_not_support_is_refused(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="RGB from -1 to 1"):
        _ = peers.Setup(str(tiny_model), 1).description


def test_the_bare_script_imports_nothing_of_osteolite(model: str, images: list[str]) -> None:
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__'); "
        "assert not [name for name in sys.modules if name.startswith('osteolite')], 'imports osteolite'"
    )
    whole, reduced = (
        subprocess.run(
            [sys.executable, "-c", code, minimal.__file__, images[2], model, "1", *more],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for more in ([], ["reduced"])
    )
    assert float(whole) == pytest.approx(float(reduced), abs=0.05)
    assert float(whole) != float(reduced), "the reduced image was decoded whole"


def test_the_runtime_is_compared_with_its_interpreter(model: str, images: list[str]) -> None:
    found = overhead.measure_overhead(peers.Setup(model, 1), images, rounds=2)
    assert found["bare"]["p50"] > 0
    assert found["ratio"]["median"] > 0


def test_images_are_selected_by_size_and_number(images: list[str]) -> None:
    folder = str(Path(images[0]).parent)
    assert sorted(selection.select([folder], (60, 40))) == sorted(images[:2])
    assert len(selection.select([folder], most=2)) == 2
    with pytest.raises(UsageError, match="no image has that size"):
        selection.select([folder], (1, 1))
    (Path(folder) / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"broken\.jpg cannot be read"):
        selection.select([folder], (60, 40))
    with pytest.raises(UsageError, match="--size 12"):
        selection.parse_size("12")


def test_the_time_and_memory_of_whole_processes_are_measured(model: str, images: list[str], tmp_path: Path) -> None:
    result = call("startup", images[2], "--model", model, "--rounds", "1", "--out", str(tmp_path))
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "startup.json").read_text()
    found = json.loads(text)
    assert str(tmp_path) not in text
    assert set(found["processes"]) == set(startup.commands("image", "model"))
    for one in found["processes"].values():
        assert one["p50"] > 0
        assert 20 < one["peak_mb"] < 300


def test_a_failed_process_is_reported(model: str, images: list[str], tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(Path(images[2]).read_bytes()[:1000])
    result = call("throughput", str(tmp_path / "broken.jpg"), "--model", model)
    assert result.returncode == 1
    assert result.stderr == "osteolite: 1 of 1 images cannot be read; leave them out\n"
    assert "Traceback" not in call("answers", str(tmp_path / "broken.jpg"), "--model", model).stderr
    with pytest.raises(OsteoliteError, match="osteolite failed"):
        startup.finish(startup.commands(str(tmp_path / "broken.jpg"), model)["osteolite"])


def test_throughput_pairs_one_core_with_all(model: str, images: list[str]) -> None:
    found = throughput.measure_throughput(model, images, rounds=3)
    speeds = found["images_per_second"]
    ratios = sorted(fast / slow for slow, fast in zip(speeds["one_core"], speeds["all_cores"], strict=True))
    assert found["ratio"]["median"] == pytest.approx(ratios[1], rel=0.02)


def test_memory_is_recorded_over_a_long_pass(model: str, images: list[str], tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    found = throughput.measure_memory(model, [*images, str(tmp_path / "broken.jpg")], 100)
    assert (found["images"], found["failed"]) == (100, 25)
    assert len(found["resident_mb"]) == 50
    assert 20 < max(found["resident_mb"]) <= found["peak_mb"] < 300


def test_reduced_decoding_is_compared_with_quantisation(
    model: str, images: list[str], tiny: Any, save_model: Callable[..., Path]
) -> None:
    other = str(save_model(tiny.mean((1, 48, 32, 3), bias=1.0), preprocessing=SPEC, variant="int8"))
    found = decoding.measure_decoding([model, other], images)
    assert found["images"] == {"count": 3, "reduced": 1}
    reference, quantised = found["results"]
    assert reference["quantisation"] == {"median": 0.0, "largest": 0.0, "decisions": 0}
    assert reference["decoding"]["largest"] > 0
    assert quantised["quantisation"]["largest"] > 0.01
    small = decoding.measure_decoding([model], images[:2])
    assert small["images"]["reduced"] == 0
    assert small["results"][0]["decoding"] is None


def test_variants_of_different_models_are_refused(model: str, tiny_model: Path, images: list[str]) -> None:
    with pytest.raises(UsageError, match="variants of one model"):
        decoding.measure_decoding([model, str(tiny_model)], images)


def test_an_error_is_printed_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise UsageError("no such thing")

    with pytest.raises(SystemExit) as stopped:
        run(fail)  # type: ignore[arg-type]  # a click command is only called, without arguments
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "osteolite: no such thing\n"
