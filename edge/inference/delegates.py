"""Open an engine on one delegate: CPU kernels, XNNPACK, a GPU, an Edge TPU, or a delegate library.

`auto`, which compares delegates, is in `auto_delegate`; the fallback to the CPU is in `opening`.
"""

import ctypes
import platform
import re
from collections import Counter
from pathlib import Path
from typing import Any

from ..errors import DelegateUnavailable, UsageError
from .delegation import Delegation
from .engine import (
    Engine,
    InterpreterEngine,
    Source,
    nodes,
    one_line,
    parse_model,
    runtime_module,
)

DELEGATES = ("auto", "cpu", "xnnpack", "gpu", "nnapi", "edgetpu")

_ALLOWED = f"allowed are {', '.join(DELEGATES)}, and PATH.so or PATH.so:key=value:key2=value2"
_LIBRARY = re.compile(r"(?P<path>.+?\.(?:so(?:\.\d+)*|dylib|dll))(?::(?P<options>.*))?", re.IGNORECASE | re.DOTALL)
_EDGE_TPU = {"Linux": "libedgetpu.so.1", "Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}
_EDGE_TPU_OPERATOR = "edgetpu-custom-op"  # the operator that Coral's compiler makes of a model
_ENTRIES = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")
_KINDS_NAMED = 4  # most kinds of operators that a reason names


def parse_delegate(text: str) -> tuple[str, dict[str, str]]:
    """Parse a delegate as users write it.

    Returns:
        A name of `DELEGATES` or the path of a library, and the library's options.

    Raises:
        UsageError: neither of the two, or an option that is not key=value.

    >>> parse_delegate("vendor.so:level=2:cache=/tmp")
    ('vendor.so', {'level': '2', 'cache': '/tmp'})
    """
    if text in DELEGATES:
        return text, {}
    if not (found := _LIBRARY.fullmatch(text)):
        raise UsageError(f"unknown delegate {text!r}; {_ALLOWED}")
    options: dict[str, str] = {}
    for option in (found["options"] or "").split(":") if found["options"] is not None else ():
        key, equals, value = option.partition("=")
        if not key or not equals or key in options:
            raise UsageError(f"delegate {text!r}: option {option!r} is not key=value, or is given twice; {_ALLOWED}")
        options[key] = value
    return found["path"], options


def open_engine(model: Source, threads: int, requested: str | None) -> tuple[Engine, Delegation]:
    """Load a model on one delegate; None stands for the runtime's own choice on the CPU.

    Args:
        model: a .tflite file, or its content.
        threads: number of CPU threads.
        requested: one of `DELEGATES` except "auto", or the path of a library with its options.

    Raises:
        DelegateUnavailable: the delegate cannot run this model on this device.
        UsageError: there is no such delegate.
        ModelFileError: the runtime refuses the model.
        MissingExtra: no runtime is installed.
    """
    if requested is None:
        return _cpu(model, threads, requested)
    name, options = parse_delegate(requested)
    match name:
        case "cpu" | "xnnpack":
            return _cpu(model, threads, requested)
        case "gpu":
            from .gpu import GpuEngine, software_only

            gpu = GpuEngine(model)
            reason = f"the GPU is {adapter}, a processor's imitation of one" if (adapter := software_only()) else ""
            return gpu, Delegation(requested, "gpu", len(gpu.operators), len(gpu.operators), reason)
        case "nnapi":
            raise DelegateUnavailable(
                "delegate nnapi: available on Android only, and deprecated since Android 15; measure it on a phone "
                "with `osteolite bench --device adb`, or use xnnpack or gpu"
            )
        case "edgetpu":
            return _edge_tpu(model, threads, requested)
    return _external(model, threads, requested, name, _load(name, options))


def _cpu(model: Source, threads: int, requested: str | None) -> tuple[Engine, Delegation]:
    """Open the CPU: XNNPACK and the runtime's kernels, or the kernels alone for "cpu"."""
    engine = InterpreterEngine(model, threads, kernels_only=requested == "cpu")
    if not engine.taken and requested == "xnnpack":
        raise DelegateUnavailable(_took_none("xnnpack", engine))
    applied = "xnnpack" if engine.taken else "none"
    return engine, Delegation(requested, applied, len(engine.taken), len(engine.operators), _left(engine))


def _external(model: Source, threads: int, requested: str, applied: str, delegate: Any) -> tuple[Engine, Delegation]:
    try:
        engine = InterpreterEngine(model, threads, delegate)
    except (RuntimeError, ValueError) as error:
        raise DelegateUnavailable(
            f"delegate {applied}: fails on this model ({one_line(error)}); run the model without this delegate"
        ) from error
    if not engine.taken:
        raise DelegateUnavailable(_took_none(applied, engine))
    return engine, Delegation(requested, applied, len(engine.taken), len(engine.operators), _left(engine))


def _took_none(name: str, engine: InterpreterEngine) -> str:
    return (
        f"delegate {name}: loads, but takes none of the model's {len(engine.operators)} operators; "
        "run the model without this delegate, or convert another variant"
    )


def _left(engine: InterpreterEngine) -> str:
    """Describe the operators that a delegate left to the CPU, by kind; empty if it took all or none."""
    left = Counter(one.name for index, one in enumerate(engine.operators) if index not in engine.taken)
    if not left or not engine.taken:
        return ""
    kinds = [f"{count} {kind}" for kind, count in left.most_common(_KINDS_NAMED)]
    return f"left to the CPU: {', '.join(kinds)}{', ...' if len(left) > _KINDS_NAMED else ''}"


def _edge_tpu(model: Source, threads: int, requested: str) -> tuple[Engine, Delegation]:
    library = _EDGE_TPU.get(platform.system(), _EDGE_TPU["Linux"])
    try:
        ctypes.CDLL(library)
    except OSError as error:
        raise DelegateUnavailable(
            f"delegate edgetpu: {library} cannot be loaded ({one_line(error)}); install Coral's Edge TPU runtime, "
            "on Debian the package libedgetpu1-std"
        ) from error
    if not is_for_edge_tpu(model):
        raise DelegateUnavailable(
            "delegate edgetpu: the model is not compiled for the Edge TPU; convert it to int8_int8 and compile it "
            "with Coral's edgetpu_compiler"
        )
    return _external(model, threads, requested, "edgetpu", _load(library, {}))


def is_for_edge_tpu(model: Source) -> bool:
    """Whether Coral's compiler has compiled the model for the Edge TPU."""
    return any(one.name == _EDGE_TPU_OPERATOR for one in nodes(parse_model(model)))


def _load(path: str, options: dict[str, str]) -> Any:
    """Load a library and create its delegate.

    The library's entry points are checked first: when the runtime's own loader fails, its destructor fails as well
    and writes a second error to standard error.
    """
    path = str(Path(path).resolve()) if Path(path).exists() else path  # a bare name is searched in the system's folders
    try:
        library = ctypes.PyDLL(path)
    except OSError as error:
        raise DelegateUnavailable(
            f"delegate {path}: the library cannot be loaded ({one_line(error)}); "
            f"use a library built for {platform.system()} on {platform.machine()}"
        ) from error
    if missing := [entry for entry in _ENTRIES if not hasattr(library, entry)]:
        raise DelegateUnavailable(f"delegate {path}: the library has no {missing[0]}; use a TFLite external delegate")
    try:
        return runtime_module()[0].load_delegate(path, options)
    except (ValueError, RuntimeError) as error:
        raise DelegateUnavailable(
            f"delegate {path}: the library creates no delegate ({one_line(error)}); check that its device is connected "
            "and that its options are right"
        ) from error
