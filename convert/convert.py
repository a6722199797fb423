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
from osteolite.train.evaluation import probabilities
from osteolite.train.runs import Run

from .calibration import CalibrationData, calibration_data, tensors
from .gate import Array, Verdict, judge
from .variants import VARIANTS, Tensor, trace

_PACKAGES = ("osteolite", "tensorflow", "tf-keras", "ai-edge-litert", "numpy", "pillow")


@dataclass(frozen=True)
class Converted:
    """One variant and what became of it."""

    variant: str
    file: Path | None  # where it was released; None if it was refused
    size: int  # bytes of the flatbuffer
    verdict: Verdict


@dataclass(frozen=True)
class Examination:
    """The validation part, ready for the gate."""

    tensors: list[Tensor]
    labels: Array
    groups: Array
    reference: Array  # fracture probabilities of the Keras model


def convert(run: Run, variants: tuple[str, ...], out: Path) -> list[Converted]:
    """Convert a run into variants and release those that pass the gate.

    Args:
        run: a finished run.
        variants: names of `VARIANTS`; empty takes the recipe's own list.
        out: the folder for the released files and `conversion.json`.

    Returns:
        One entry a variant, in order. A refused variant is not written, and a file that an earlier
        conversion released under its name is taken away.

    Raises:
        UsageError: an unknown variant.
    """
    recipe, catalogue, evaluation = run.recipe, run.catalogue, run.json("evaluation.json")
    names = variants or recipe.conversion.variants
    if unknown := [name for name in names if name not in VARIANTS]:
        raise UsageError(f"no variant {', '.join(unknown)}; known are {', '.join(VARIANTS)}")
    model = run.model()
    calibration = calibration_data(catalogue, recipe.preprocessing, recipe.conversion.calibration_images)
    examination = _examination(run, model)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        source = trace(
            model, recipe.preprocessing.shape, calibration.tensors, recipe.conversion.float_operators, folder
        )
        for name in names:
            console.print(f"converting to {name}")
            flatbuffer = VARIANTS[name](source)
            verdict = _examine(flatbuffer, Path(folder), examination, run)
            target = out / f"{recipe.name}_{name}.tflite"
            target.unlink(missing_ok=True)
            if verdict.passed:
                write_model(target, flatbuffer, _description(run, name, verdict, calibration))
            released = target if verdict.passed else None
            results.append(Converted(name, released, len(flatbuffer), verdict))
    write_json(out / "conversion.json", _summary(results, evaluation, calibration))
    return results


def _examination(run: Run, model: Any) -> Examination:
    recipe, catalogue, evaluation = run.recipe, run.catalogue, run.json("evaluation.json")
    rows = list(catalogue.part("validation"))
    inputs = tensors(catalogue, rows, recipe.preprocessing)
    calibration = evaluation["probability_calibration"]
    batches = [np.concatenate(inputs[i : i + 64]) for i in range(0, len(inputs), 64)]
    logits = np.concatenate([np.asarray(model(batch, training=False))[:, 0] for batch in batches])
    return Examination(
        inputs,
        np.array([row.label for row in rows]),
        np.array([row.group for row in rows]),
        probabilities(logits, calibration["slope"], calibration["intercept"]),
    )


def _examine(flatbuffer: bytes, folder: Path, examination: Examination, run: Run) -> Verdict:
    """Run the variant as a device would, on every validation image."""
    evaluation = run.json("evaluation.json")
    candidate = folder / "candidate.tflite"
    candidate.write_bytes(flatbuffer)
    with quiet_stderr():
        runtime = Runtime(candidate)
    inputs = tracked(examination.tensors, "examining", len(examination.tensors))
    logits = np.array([runtime.invoke(tensor).reshape(-1)[0] for tensor in inputs])
    calibration = evaluation["probability_calibration"]
    return judge(
        examination.labels,
        examination.groups,
        examination.reference,
        probabilities(logits, calibration["slope"], calibration["intercept"]),
        evaluation["threshold"]["value"],
        run.recipe.gate,
    )


def _description(run: Run, variant: str, verdict: Verdict, calibration: CalibrationData) -> dict[str, Any]:
    """The content of `osteolite.json`."""
    recipe, evaluation, about = run.recipe, run.json("evaluation.json"), run.json("run.json")
    test = {key: value for key, value in evaluation["test"].items() if key != "curves"}
    quantisation = {**calibration.describe(), "float_operators": recipe.conversion.float_operators}
    return {
        "name": f"{recipe.name}_{variant}",
        "variant": variant,
        "intended_use": "research only; no medical device",
        "attribution": recipe.attribution.strip(),
        "preprocessing": recipe.preprocessing.to_dict(),
        "threshold": evaluation["threshold"],
        "probability_calibration": evaluation["probability_calibration"],
        "quantisation_calibration": quantisation if variant == "int8" else None,
        "training": {
            "recipe": recipe.name,
            "layout": about["layout"],
            "seed": about["seed"],
            "weights": about["weights"],
            "images": {part: len(run.catalogue.part(part)) for part in ("train", "validation", "test")},
            "catalogue_sha256": hashlib.sha256(run.path("catalogue.csv").read_bytes()).hexdigest(),
        },
        "evaluation": {"model": "float32 Keras model before conversion", "part": "test", **test},
        "gate": verdict.to_dict(),
        "versions": {package: version(package) for package in _PACKAGES},
    }


def _summary(results: list[Converted], evaluation: dict[str, Any], calibration: CalibrationData) -> dict[str, Any]:
    return {
        "threshold": evaluation["threshold"],
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
