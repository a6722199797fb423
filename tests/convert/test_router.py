"""A router's file is made only from stages that all passed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osteolite.convert.commands.convert import Conversion, conclude, convert_runs
from osteolite.convert.convert import Converted
from osteolite.convert.gate.gate import MulticlassVerdict, Verdict, judge, judge_multiclass
from osteolite.convert.router import convert_router
from osteolite.edge import read_description
from osteolite.edge.errors import GateRefusal
from osteolite.edge.modelfile.archive import write_model
from osteolite.train.data.catalogue import Catalogue, Row, write_catalogue
from osteolite.train.recipe import Gate, load_recipe, to_toml
from osteolite.train.runs.run_folder import Run

STAGES = ("body_part", "hand", "leg")
GROUPS, LABELS = np.arange(40), np.arange(40) % 2
SCORES, LOGITS = np.linspace(0.1, 0.9, 40), np.eye(2)[LABELS]
LIMITS = {True: Gate(), False: Gate(agreement=1.01)}  # the second one refuses any variant
FRACTURE = {passed: judge(LABELS, GROUPS, SCORES, SCORES, 0.5, limits) for passed, limits in LIMITS.items()}
BODY_PART = {passed: judge_multiclass(LABELS, GROUPS, LOGITS, LOGITS, limits) for passed, limits in LIMITS.items()}
ConvertStage = Callable[[Run, tuple[str, ...], Path], list[Converted]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The run of a router, with the files that conversion reads."""
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
def converter(tiny: Any) -> Callable[[str], ConvertStage]:
    """Makes a converter of stages that needs no TensorFlow: all pass but the one named."""

    def refusing(refused: str) -> ConvertStage:
        def convert_stage(stage: Run, variants: tuple[str, ...], out: Path) -> list[Converted]:
            found = []
            name = stage.folder.name
            for variant in variants:
                passed, description = f"{name} {variant}" != refused, tiny.description(name=name)
                verdict: Verdict | MulticlassVerdict = FRACTURE[passed]
                if name == "body_part":
                    verdict = BODY_PART[passed]
                    calibration = {"temperature": 1}
                    description |= {
                        "kind": name,
                        "labels": ["hand", "leg"],
                        "probability_calibration": calibration,
                    }
                file = out / f"{name}_{variant}.tflite"
                write_model(file, tiny.mean(outputs=2 if name == "body_part" else 1), description)
                found.append(Converted(variant, file if passed else None, 100, 90, verdict))
            return found

        return convert_stage

    return refusing


def test_the_routers_file_contains_the_released_stages(run: Run, converter: Callable[[str], ConvertStage]) -> None:
    results = convert_router(run, ("float32", "int8"), run.path("models"), converter("none"))
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
def test_a_refused_stage_refuses_its_variant_and_is_named(
    run: Run, converter: Callable[[str], ConvertStage], refused: str
) -> None:
    convert_router(run, ("float32", "int8"), run.path("models"), converter("none"))
    results = convert_router(run, ("float32", "int8"), run.path("models"), converter(refused))
    with pytest.raises(GateRefusal, match=rf"refused and not written: {refused} \("):
        conclude([Conversion("router", "", results, {})], as_json=False)
    assert [path.name for path in run.path("models").glob("*.tflite")] == ["router_mobilenetv2_float32.tflite"]
    summary = {one["variant"]: one["file"] for one in run.json("models/conversion.json")["variants"]}
    assert summary == {"float32": "router_mobilenetv2_float32.tflite", "int8": None}


def test_each_run_of_a_recipe_with_alternatives_is_converted(
    run: Run, converter: Callable[[str], ConvertStage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    targets: list[tuple[str, Path]] = []

    def convert_run(one: Run, variants: tuple[str, ...], data: Path | None, out: Path) -> list[Converted]:
        targets.append((one.folder.name, out))
        return convert_router(run, variants, out, converter("none"))

    runs = [run, Run(run.path("stages/hand"))]
    conversions = convert_runs(runs, ("float32",), None, tmp_path / "out", convert_run)
    conclude(conversions, as_json=True)
    assert targets == [(one.folder.name, tmp_path / "out" / one.folder.name) for one in runs]
    assert [one["kind"] for one in json.loads(capsys.readouterr().out)] == ["router", "router"]
