"""The model files of a page: read once, and checked to be such as a browser runs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osteolite.edge.errors import MissingExtra, ModelFileError, UsageError
from osteolite.edge.modelfile.archive import read_description, read_stage
from osteolite.edge.modelfile.description import FRACTURE, ROUTER, Description, PartDescription
from osteolite.edge.modelfile.shipped import shipped_model

_WORKING = "give float32, float16, dynamic, int8, selective_int8 or another variant with input and output in float32"


@dataclass(frozen=True)
class PageModel:
    """A model file as it lies in the folder."""

    file: str  # letters, digits, ".", "_" and "-" alone, which no host and no address has to escape
    kind: str  # "fracture" or "router"
    variant: str
    content: bytes


def page_models(paths: Iterable[str] = ()) -> list[PageModel]:
    """Read the model files of a page.

    Args:
        paths: of .tflite files; none for the model that ships with the package.

    Raises:
        ModelFileError: a file is missing, damaged, without a description, or none that a browser runs.
        UsageError: two files would have one name.
        MissingExtra: the package that knows the format of model files is not installed.
    """
    models: dict[str, PageModel] = {}
    for path in list(paths) or [str(shipped_model())]:
        model = _read(Path(path))
        if model.file in models:
            raise UsageError(f"{path}: another model file is called {model.file} too; rename one of them")
        models[model.file] = model
    return list(models.values())


def _read(path: Path) -> PageModel:
    description = read_description(path)
    kind = description.details.get("kind", FRACTURE)
    if kind not in (FRACTURE, ROUTER):
        raise ModelFileError(f"{path}: a model of kind {kind}, which names no fractures; give a {FRACTURE} or {ROUTER}")
    content = path.read_bytes()
    _check(str(path), description, content)
    if isinstance(description, PartDescription):
        for part, listed in description.stages.items():
            stage = read_stage(path, part, listed)
            _check(f"{path}: stage {part}", read_description(stage), stage)
    return PageModel(re.sub(r"[^A-Za-z0-9._-]", "_", path.name), kind, description.variant, content)


def _check(where: str, description: Description, content: bytes) -> None:
    """Refuse what LiteRT.js refuses, but now, and not on somebody's phone."""
    for end, (dtype, batch) in _ends(content[: description.details["flatbuffer"]["bytes"]]):
        if dtype != "FLOAT32":
            raise ModelFileError(
                f"{where}: {description.variant}: its {end} is {dtype.lower()}, which browsers do not run; {_WORKING}"
            )
        if batch != 1:
            size = "open" if batch < 0 else str(batch)
            raise ModelFileError(
                f"{where}: the batch of its {end} is {size}, and browsers run 1 alone; `osteolite convert` fixes it"
            )


def _ends(flatbuffer: bytes) -> list[tuple[str, tuple[str, int]]]:
    """Type and batch of each input and output; a batch that is left open is -1."""
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise MissingExtra("reading a model's graph needs ai-edge-litert; pip install ai-edge-litert") from error
    graph = schema.Model.GetRootAs(flatbuffer).Subgraphs(0)
    types = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}

    def facts(tensor: Any) -> tuple[str, int]:
        shape = tensor.ShapeAsNumpy() if tensor.ShapeSignatureIsNone() else tensor.ShapeSignatureAsNumpy()
        return types[tensor.Type()], int(shape[0]) if tensor.ShapeLength() else 1

    return [("input", facts(graph.Tensors(index))) for index in graph.InputsAsNumpy()] + [
        ("output", facts(graph.Tensors(index))) for index in graph.OutputsAsNumpy()
    ]
