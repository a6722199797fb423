"""A router's stages, each converted and gated by itself, put together into one file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from osteolite.edge.atomic import write_json
from osteolite.edge.modelfile.archive import read_description, write_model
from osteolite.edge.modelfile.description import BODY_PART, ROUTER
from osteolite.train.console import console
from osteolite.train.runs.run_folder import Run

from .convert import Converted, chosen_variants, convert
from .sources.subject import description, subject_of


def convert_router(run: Run, variants: tuple[str, ...], out: Path) -> list[Converted]:
    """Convert each stage into its own folder `models`, and join those of a variant where all passed.

    Args:
        run: a finished run of a recipe with stages.
        variants: names of `VARIANTS`, or "all"; empty takes the recipe's own list.
        out: the folder for the routers' files and `conversion.json`.

    Returns:
        One entry a stage and variant. A variant of which one stage was refused is not written, and a
        file that an earlier conversion released under its name is taken away.

    Raises:
        UsageError: an unknown variant.
    """
    names = chosen_variants(variants, run.recipe.conversion.variants)
    results: list[Converted] = []
    for stage in (BODY_PART, *run.json("run.json")["parts"]):
        opened = Run.open(run.path(f"stages/{stage}"))
        converted = convert(subject_of(opened, None), names, opened.path("models"))
        results += [replace(one, stage=stage) for one in converted]
    summary = []
    for name in names:
        stages = {one.stage: one for one in results if one.variant == name}
        target = out / f"{run.recipe.name}_{name}.tflite"
        target.unlink(missing_ok=True)
        passed = all(one.verdict.passed for one in stages.values())
        if passed:
            _assemble(run, name, stages, target)
            console.print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, body parts and their fracture models")
        summary.append(
            {
                "variant": name,
                "file": target.name if passed else None,
                "bytes": sum(one.size for one in stages.values()),
                "compressed_bytes": sum(one.compressed for one in stages.values()),
                "stages": {stage: one.verdict.to_dict() for stage, one in stages.items()},
            }
        )
    write_json(out / "conversion.json", {"kind": ROUTER, "variants": summary})
    return results


def _assemble(run: Run, variant: str, stages: dict[str, Converted], target: Path) -> None:
    files = {stage: one.file for stage, one in stages.items() if one.file is not None}
    first = read_description(files[BODY_PART]).details
    values: dict[str, Any] = {
        **first,
        **description(run),
        "name": f"{run.recipe.name}_{variant}",
        "variant": variant,
        "kind": ROUTER,
        "gate": {stage: one.verdict.to_dict() for stage, one in stages.items()},
    }
    values["evaluation"]["body_part"] = run.json("evaluation.json")["body_part"]
    content = {stage: file.read_bytes() for stage, file in files.items()}
    flatbuffer = content.pop(BODY_PART)[: first["flatbuffer"]["bytes"]]
    write_model(target, flatbuffer, values, content)
