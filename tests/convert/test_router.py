"""A router is put together only from stages that all passed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from osteolite.convert import router
from osteolite.convert.convert import Converted
from osteolite.convert.gate.gate import judge, judge_parts
from osteolite.convert.router import convert_router
from osteolite.edge import read_description
from osteolite.edge.cli import cli
from osteolite.edge.modelfile.archive import write_model
from osteolite.train.data.catalogue import Catalogue, Row, write_catalogue
from osteolite.train.recipe import Gate, load_recipe, to_toml
from osteolite.train.runs.run_folder import Run

STAGES = ("body_part", "hand", "leg")
GROUPS, LABELS = np.arange(40), np.arange(40) % 2
SCORES, LOGITS = np.linspace(0.1, 0.9, 40), np.eye(2)[LABELS]
LIMITS = {True: Gate(), False: Gate(agreement=1.01)}  # that what stays the same keeps, and that nothing can keep
FRACTURE = {good: judge(LABELS, GROUPS, SCORES, SCORES, 0.5, limits) for good, limits in LIMITS.items()}
PARTS = {good: judge_parts(LABELS, GROUPS, LOGITS, LOGITS, limits) for good, limits in LIMITS.items()}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """What a router's training leaves, as far as conversion asks for it."""
    about = {
        "data": str(tmp_path),
        "root": str(tmp_path),
        "layout": "manifest",
        "attribution": "",
        "seed": 1,
        "weights": {"start": "none (random)"},
    }
    for folder, more in (
        (tmp_path, {"kind": "router", "parts": ["hand", "leg"], "audit": {"allow_leaks": True}}),
        *((tmp_path / "stages" / stage, {}) for stage in STAGES),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").write_text(json.dumps({**about, **more}))
        (folder / "recipe.toml").write_text(to_toml(load_recipe("router_mobilenetv2")))
        (folder / "evaluation.json").write_text(json.dumps({"test": {"images": 1}, "body_part": {"images": 1}}))
        write_catalogue(Catalogue(tmp_path, "manifest", (Row("a.png", 1, split="test"),)), folder / "catalogue.csv")
    return Run.open(tmp_path)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch, tiny: Any) -> Callable[[str], None]:
    """`convert` without TensorFlow: each stage passes, but for the one named."""

    def install(refused: str) -> None:
        def convert(stage: Run, variants: tuple[str, ...], out: Path) -> list[Converted]:
            found = []
            for name in variants:
                part, good = stage.folder.name, f"{stage.folder.name} {name}" != refused
                verdict, described = (PARTS if part == "body_part" else FRACTURE)[good], tiny.description(name=part)
                if part == "body_part":
                    described |= {
                        "kind": part,
                        "labels": ["hand", "leg"],
                        "probability_calibration": {"temperature": 1},
                    }
                file = out / f"{part}_{name}.tflite"
                write_model(file, tiny.mean(outputs=2 if part == "body_part" else 1), described)
                found.append(Converted(name, file if good else None, 100, 90, verdict))
            return found

        monkeypatch.setattr(router, "subject_of", lambda stage, calibration: stage)
        monkeypatch.setattr(router, "convert", convert)

    return install


def test_the_routers_file_holds_the_stages_as_they_were_released(run: Run, stub: Callable[[str], None]) -> None:
    stub("nothing")
    results = router.convert_router(run, ("float32", "int8"), run.path("models"))
    assert [(one.stage, one.variant) for one in results] == [(s, v) for s in STAGES for v in ("float32", "int8")]
    details = read_description(run.path("models/router_mobilenetv2_int8.tflite")).details
    assert (details["kind"], details["name"], details["variant"]) == ("router", "router_mobilenetv2_int8", "int8")
    released = run.path("stages/leg/models/leg_int8.tflite").read_bytes()
    assert details["stages"]["leg"]["bytes"] == len(released)
    assert released in run.path("models/router_mobilenetv2_int8.tflite").read_bytes()
    assert set(details["gate"]) == set(STAGES)
    assert details["audit"] == {"allow_leaks": True}
    assert details["training"]["weights"] == {"start": "none (random)"}


@pytest.mark.parametrize("refused", ["leg int8", "body_part int8"])
def test_one_refused_stage_refuses_its_variant_alone_and_is_named(
    run: Run, stub: Callable[[str], None], refused: str
) -> None:
    stub("nothing")
    router.convert_router(run, ("float32", "int8"), run.path("models"))
    stub(refused)
    result = CliRunner().invoke(cli, ["convert", str(run.folder), "--variants", "float32,int8"])
    assert result.exit_code == 3, result.output
    assert f"refused and not written: {refused} (" in result.output
    assert [path.name for path in run.path("models").glob("*.tflite")] == ["router_mobilenetv2_float32.tflite"]
    summary = {one["variant"]: one["file"] for one in run.json("models/conversion.json")["variants"]}
    assert summary == {"float32": "router_mobilenetv2_float32.tflite", "int8": None}


def test_a_folder_of_alternatives_is_converted_run_by_run(
    run: Run, stub: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stub("nothing")
    asked: list[tuple[str, Path]] = []
    other = Run(run.path("stages/hand"))
    monkeypatch.setattr("osteolite.train.runs.run_folder.open_runs", lambda folder: [run, other])

    def converted(one: Run, variants: tuple[str, ...], folder: Path) -> list[Converted]:
        asked.append((one.folder.name, folder))
        return convert_router(run, variants, folder)

    monkeypatch.setattr(router, "convert_router", converted)
    monkeypatch.setattr(Run, "is_router", True)
    arguments = ["convert", str(tmp_path), "--variants", "float32", "--out", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert asked == [(one.folder.name, tmp_path / "out" / one.folder.name) for one in (run, other)]
    assert result.output.count('"kind": "router"') == 2
