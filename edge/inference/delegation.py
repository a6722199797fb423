"""TODO: caption of osteolite.edge.inference.delegation."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Candidate:
    """How one delegate did when `auto` compared them."""

    delegate: str
    milliseconds: float | None  # median of a run; None where it could not run
    reason: str  # why it was left out; empty: it was not

    def to_dict(self) -> dict[str, Any]:
        return {"delegate": self.delegate, "milliseconds": self.milliseconds, "reason": self.reason}


@dataclass(frozen=True)
class Delegation:
    """Which delegate was asked for, and what runs the operators in fact."""

    asked: str | None  # None: nothing, the runtime's own choice
    applied: str  # "none": the runtime's kernels; "xnnpack", "gpu", "edgetpu", or the path of a library
    taken: int  # operators that it runs
    of: int  # operators of the model
    reason: str = ""  # why it is not the one asked for, or what it left to the processor
    warning: str = ""  # what a person must know: not the delegate that was asked for
    candidates: tuple[Candidate, ...] = ()  # of `auto`

    def to_dict(self) -> dict[str, Any]:
        about = {name: getattr(self, name) for name in ("asked", "applied", "taken", "of", "reason", "warning")}
        return about | ({"candidates": [one.to_dict() for one in self.candidates]} if self.candidates else {})
