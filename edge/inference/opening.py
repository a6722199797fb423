"""Opens a model on the requested delegate, on the fastest one, or on the CPU where the delegate is unavailable."""

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
    """Open a model for inference.

    Args:
        model: a .tflite file, or its content.
        threads: CPU threads; default, one per core, at most 4.
        delegate: what runs the operators: one of `DELEGATES`, or the path of a library with its options,
            PATH.so:key=value; default, the runtime's own choice on the CPU.
        fallback: run on the CPU when the delegate is unavailable, and say so in `Delegation.warning`.

    Raises:
        ModelFileError: the runtime refuses the file, or the file has other inputs or outputs.
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
    # Only the Edge TPU runs a model that was compiled for it, so there is nothing to compare.
    try:
        engine, delegation = open_engine(model, threads, "edgetpu" if delegate == "auto" else delegate)
        return engine, replace(delegation, requested=delegate)
    except DelegateUnavailable as error:
        if not fallback:
            raise
        engine, delegation = open_engine(model, threads, None)
        warning = f"{error}; until then the processor runs the model"
        return engine, replace(delegation, requested=delegate, reason=str(error), warning=warning)


def _open_fastest(model: Source, threads: int) -> tuple[Engine, Delegation]:
    # Imported on use: timing delegates is not on the way of an ordinary prediction.
    from .auto_delegate import fastest, remembered

    for choose in (remembered, fastest):  # the remembered delegate may be gone: its driver, or the device itself
        if choice := choose(model, threads):
            try:
                engine, delegation = open_engine(model, threads, choice.delegate)
            except DelegateUnavailable:
                continue
            return engine, replace(delegation, requested="auto", candidates=choice.candidates)
    engine, delegation = open_engine(model, threads, None)
    return engine, replace(delegation, requested="auto")
