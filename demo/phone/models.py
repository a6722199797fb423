"""Read the model files of a page and check that a browser can run them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osteolite.edge.errors import MissingExtra, ModelFileError, UsageError
from osteolite.edge.modelfile.archive import read_description, read_stage
from osteolite.edge.modelfile.description import FRACTURE, ROUTER, Description, MultiClassDescription
from osteolite.edge.modelfile.shipped import shipped_model

_USABLE = "give float32, float16, dynamic, int8, selective_int8 or another variant with float32 input and output"


@dataclass(frozen=True)
class PageModel:
    """A model file of the page's folder."""

    file: str  # name of letters, digits, ".", "_" and "-" only, which needs no escaping in a URL
    kind: str  # "fracture" or "router"
    variant: str
    content: bytes


def page_models(paths: Iterable[str] = ()) -> list[PageModel]:
    """Read the model files of a page.

    Args:
        paths: .tflite files; none means the shipped model.

    Raises:
        ModelFileError: a file is missing, damaged, without a description, or cannot run in a browser.
        UsageError: two files have the same name.
        MissingExtra: ai-edge-litert, which parses model files, is not installed.
    """
    models: dict[str, PageModel] = {}
    for path in list(paths) or [str(shipped_model())]:
        model = _read(Path(path))
        if model.file in models:
            raise UsageError(f"{path}: another model file is also called {model.file}; rename one of them")
        models[model.file] = model
    return list(models.values())


def _read(path: Path) -> PageModel:
    description = read_description(path)
    kind = description.details.get("kind", FRACTURE)
    if kind not in (FRACTURE, ROUTER):
        raise ModelFileError(
            f"{path}: a model of kind {kind}, which gives no fracture probability; give a {FRACTURE} or {ROUTER} model"
        )
    content = path.read_bytes()
    _check_runnable(str(path), description, content)
    if isinstance(description, MultiClassDescription):
        for body_part, entry in description.stages.items():
            stage = read_stage(path, body_part, entry)
            _check_runnable(f"{path}: stage {body_part}", read_description(stage), stage)
    return PageModel(re.sub(r"[^A-Za-z0-9._-]", "_", path.name), kind, description.variant, content)


def _check_runnable(where: str, description: Description, content: bytes) -> None:
    """Refuse here what LiteRT.js would refuse on the phone."""
    for name, dtype, batch in _tensors(content[: description.details["flatbuffer"]["bytes"]]):
        if dtype != "FLOAT32":
            raise ModelFileError(
                f"{where}: {description.variant}: its {name} is {dtype.lower()}, which browsers do not run; {_USABLE}"
            )
        if batch != 1:
            size = "open" if batch < 0 else str(batch)
            raise ModelFileError(
                f"{where}: the batch of its {name} is {size}, but browsers need 1; convert it with `osteolite convert`"
            )


def _tensors(flatbuffer: bytes) -> list[tuple[str, str, int]]:
    """("input" or "output", type, batch) of each input and output; an open batch is -1."""
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise MissingExtra("reading a model's graph needs ai-edge-litert; pip install ai-edge-litert") from error
    graph = schema.Model.GetRootAs(flatbuffer).Subgraphs(0)
    types = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}

    def described(name: str, index: int) -> tuple[str, str, int]:
        tensor: Any = graph.Tensors(index)
        shape = tensor.ShapeAsNumpy() if tensor.ShapeSignatureIsNone() else tensor.ShapeSignatureAsNumpy()
        return name, types[tensor.Type()], int(shape[0]) if tensor.ShapeLength() else 1

    return [described("input", index) for index in graph.InputsAsNumpy()] + [
        described("output", index) for index in graph.OutputsAsNumpy()
    ]
