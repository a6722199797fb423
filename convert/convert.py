"""From a run to released .tflite files, each with the gate's verdict inside."""

import hashlib
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.atomic import write_json
from osteolite.edge.errors import UsageError
from osteolite.edge.modelfile import write_model
from osteolite.edge.quiet import quiet_stderr
from osteolite.edge.runtime import Runtime
from osteolite.train.console import console, tracked
from osteolite.train.runs import Run

from .calibration import CalibrationData, calibration_data
from .gate import PartVerdict, Verdict
from .subjects import Subject, subject_of
from .variants import VARIANTS, trace

_PACKAGES = ("osteolite", "tensorflow", "tf-keras", "ai-edge-litert", "numpy", "pillow")


@dataclass(frozen=True)
class Converted:
    """One variant and what became of it."""

    variant: str
    file: Path | None  # where it was released; None if it was refused
    size: int  # bytes of the flatbuffer
    verdict: Verdict | PartVerdict
    stage: str = ""  # of a router: the body-part network or a part's fracture model


def variant_names(run: Run, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The variants asked for, or the recipe's own.

    Raises:
        UsageError: an unknown variant.
    """
    names = asked or run.recipe.conversion.variants
    if unknown := [name for name in names if name not in VARIANTS]:
        raise UsageError(f"no variant {', '.join(unknown)}; known are {', '.join(VARIANTS)}")
    return names


def convert(run: Run, variants: tuple[str, ...], out: Path) -> list[Converted]:
    """Convert a run of one network into variants and release those that pass the gate.

    Args:
        run: a finished run, of a fracture model or of a body-part network.
        variants: names of `VARIANTS`; empty takes the recipe's own list.
        out: the folder for the released files and `conversion.json`.

    Returns:
        One entry a variant, in order. A refused variant is not written, and a file that an earlier
        conversion released under its name is taken away.

    Raises:
        UsageError: an unknown variant.
    """
    recipe, names = run.recipe, variant_names(run, variants)
    calibration = calibration_data(run.catalogue, recipe.preprocessing, recipe.conversion.calibration_images)
    subject = subject_of(run)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        source = trace(
            subject.model, recipe.preprocessing.shape, calibration.tensors, recipe.conversion.float_operators, folder
        )
        for name in names:
            console.print(f"converting {recipe.name} to {name}")
            flatbuffer = VARIANTS[name](source)
            verdict = _examine(flatbuffer, subject)
            target = out / f"{recipe.name}_{name}.tflite"
            target.unlink(missing_ok=True)
            if verdict.passed:
                values = {**description(run, name), **subject.description, "gate": verdict.to_dict()}
                values["quantisation_calibration"] = _quantisation(run, calibration) if name == "int8" else None
                write_model(target, flatbuffer, values)
            results.append(Converted(name, target if verdict.passed else None, len(flatbuffer), verdict))
    write_json(out / "conversion.json", _summary(results, subject, calibration))
    return results


def _examine(flatbuffer: bytes, subject: Subject) -> Verdict | PartVerdict:
    """Run the variant as a device would, on every validation image."""
    with quiet_stderr():
        runtime = Runtime(flatbuffer)
    inputs = tracked(subject.tensors, "examining", len(subject.tensors))
    return subject.judge(np.array([runtime.invoke(tensor).reshape(-1) for tensor in inputs]))


def description(run: Run, variant: str) -> dict[str, Any]:
    """What `osteolite.json` says of any run: where the model comes from, and its figures."""
    recipe, evaluation, about = run.recipe, run.json("evaluation.json"), run.json("run.json")
    test = {key: value for key, value in evaluation["test"].items() if key != "curves"}
    values = {
        "name": f"{recipe.name}_{variant}",
        "variant": variant,
        "intended_use": "research only; no medical device",
        "attribution": about["attribution"],
        "preprocessing": recipe.preprocessing.to_dict(),
        "training": {
            "recipe": recipe.name,
            "layout": about["layout"],
            "seed": about["seed"],
            "weights": about["weights"],
            "images": {part: len(run.catalogue.part(part)) for part in ("train", "validation", "test")},
            "catalogue_sha256": hashlib.sha256(run.path("catalogue.csv").read_bytes()).hexdigest(),
        },
        "evaluation": {"model": "float32 Keras model before conversion", "part": "test", **test},
        "versions": {package: version(package) for package in _PACKAGES},
    }
    return {**values, "audit": about["audit"]} if "audit" in about else values


def _quantisation(run: Run, calibration: CalibrationData) -> dict[str, Any]:
    return {**calibration.describe(), "float_operators": run.recipe.conversion.float_operators}


def _summary(results: list[Converted], subject: Subject, calibration: CalibrationData) -> dict[str, Any]:
    return {
        **{key: value for key, value in subject.description.items() if key == "threshold"},
        "quantisation_calibration": calibration.describe(),
        "variants": [
            {
                "variant": result.variant,
                "file": result.file.name if result.file else None,
                "bytes": result.size,
                "gate": result.verdict.to_dict(),
            }
            for result in results
        ],
    }
