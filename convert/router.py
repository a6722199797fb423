"""Conversion of a router: each stage is converted and judged by the gate, then all are joined into one file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from osteolite.edge.atomic import write_json
from osteolite.edge.modelfile.archive import read_description, write_model
from osteolite.edge.modelfile.description import BODY_PART, ROUTER
from osteolite.train.console import console
from osteolite.train.runs.run_folder import Run

from .convert import Converted, chosen_variants, convert
from .sources.subject import run_description, subject_of

Stages = dict[str, Converted]  # by name: body_part, then the body parts


def convert_stage(run: Run, variants: tuple[str, ...], out: Path) -> list[Converted]:
    """Convert the run of one stage, with its own training split as calibration data."""
    return convert(subject_of(run, None), variants, out)


def convert_router(
    run: Run,
    variants: tuple[str, ...],
    out: Path,
    convert_stage: Callable[[Run, tuple[str, ...], Path], list[Converted]] = convert_stage,
) -> list[Converted]:
    """Convert each stage into its own folder `models`, and join the stages of each variant that passed in all of them.

    Args:
        run: a finished run of a recipe with stages.
        variants: names of `VARIANTS`, or "all"; empty, the recipe's own list.
        out: the folder for the routers' files and `conversion.json`.
        convert_stage: converts the run of one stage into a folder.

    Returns:
        One entry for each stage and variant. A variant with a refused stage is not written, and the
        file that an earlier conversion wrote under its name is deleted.

    Raises:
        UsageError: a variant is unknown.
    """
    names = chosen_variants(variants, run.recipe.conversion.variants)
    results: list[Converted] = []
    for stage in (BODY_PART, *run.json("run.json")["parts"]):
        opened = Run.open(run.path(f"stages/{stage}"))
        converted = convert_stage(opened, names, opened.path("models"))
        results += [replace(one, stage=stage) for one in converted]
    summary = []
    for name in names:
        stages = {one.stage: one for one in results if one.variant == name}
        target = out / f"{run.recipe.name}_{name}.tflite"
        target.unlink(missing_ok=True)
        passed = all(one.verdict.passed for one in stages.values())
        if passed:
            _assemble(run, name, stages, target)
            console.print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, body-part network and fracture models")
        summary.append(_summary(name, stages, target.name if passed else None))
    write_json(out / "conversion.json", {"kind": ROUTER, "variants": summary})
    return results


def _summary(variant: str, stages: Stages, file: str | None) -> dict[str, Any]:
    return {
        "variant": variant,
        "file": file,
        "bytes": sum(one.size for one in stages.values()),
        "compressed_bytes": sum(one.compressed for one in stages.values()),
        "stages": {stage: one.verdict.to_dict() for stage, one in stages.items()},
    }


def _assemble(run: Run, variant: str, stages: Stages, target: Path) -> None:
    files = {stage: one.file for stage, one in stages.items() if one.file is not None}
    first = read_description(files[BODY_PART]).details
    values: dict[str, Any] = {
        **first,
        **run_description(run),
        "name": f"{run.recipe.name}_{variant}",
        "variant": variant,
        "kind": ROUTER,
        "gate": {stage: one.verdict.to_dict() for stage, one in stages.items()},
    }
    values["evaluation"]["body_part"] = run.json("evaluation.json")["body_part"]
    content = {stage: file.read_bytes() for stage, file in files.items()}
    flatbuffer = content.pop(BODY_PART)[: first["flatbuffer"]["bytes"]]
    write_model(target, flatbuffer, values, content)
