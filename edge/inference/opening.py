"""Open an `InferenceSession`: the entry point of this package.

`open_session` takes the model file and the delegate that the caller requests, and leaves the work to three modules:

1. `delegates.open_engine` opens the engine of one delegate: `engine.InterpreterEngine` or `gpu.GpuEngine`.
2. `auto_delegate`, for the delegate `auto`, measures the delegates or recalls the fastest one.
3. `session.InferenceSession` wraps the engine and its `delegation.Delegation`: delegate requested, delegate applied.

The fallback to the CPU is decided here and nowhere else.
"""

from dataclasses import replace

from ..errors import DelegateUnavailable
from ..machine import default_threads
from .delegates import is_for_edge_tpu, open_engine
from .delegation import Delegation
from .engine import Engine, Source, name_of_source
from .session import InferenceSession


def open_session(
    model: Source, threads: int | None = None, delegate: str | None = None, fallback: bool = False
) -> InferenceSession:
    """Open a model on the requested delegate, on the fastest one, or on the CPU.

    Args:
        model: a .tflite file, or its content.
        threads: number of CPU threads; default, one per core, at most 4.
        delegate: one of `delegates.DELEGATES`, or the path of a library with its options, PATH.so:key=value;
            default, the runtime's own choice on the CPU.
        fallback: run on the CPU when the delegate is unavailable, and say so in `Delegation.warning`.

    Raises:
        ModelFileError: the runtime refuses the model, or its inputs or outputs are not those of a classifier.
        DelegateUnavailable: the delegate cannot run this model on this device.
        UsageError: there is no such delegate.
        MissingExtra: no runtime is installed.
    """
    threads = threads or default_threads()
    engine, delegation = _open_engine(model, threads, delegate, fallback)
    return InferenceSession(engine, delegation, threads, name_of_source(model))


def _open_engine(model: Source, threads: int, delegate: str | None, fallback: bool) -> tuple[Engine, Delegation]:
    if delegate == "auto" and not is_for_edge_tpu(model):
        return _open_fastest(model, threads)
    # A model compiled for the Edge TPU runs on nothing else, so `auto` has nothing to compare.
    try:
        engine, delegation = open_engine(model, threads, "edgetpu" if delegate == "auto" else delegate)
        return engine, replace(delegation, requested=delegate)
    except DelegateUnavailable as error:
        if not fallback:
            raise
        engine, delegation = open_engine(model, threads, None)
        warning = f"{error}; until then the CPU runs the model"
        return engine, replace(delegation, requested=delegate, reason=str(error), warning=warning)


def _open_fastest(model: Source, threads: int) -> tuple[Engine, Delegation]:
    # Imported on use: most predictions do not measure delegates.
    from .auto_delegate import fastest, remembered

    for choose in (remembered, fastest):  # a remembered delegate may have been removed
        if choice := choose(model, threads):
            try:
                engine, delegation = open_engine(model, threads, choice.delegate)
            except DelegateUnavailable:
                continue
            return engine, replace(delegation, requested="auto", candidates=choice.candidates)
    engine, delegation = open_engine(model, threads, None)
    return engine, replace(delegation, requested="auto")
