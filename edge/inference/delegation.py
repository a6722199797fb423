"""Which delegate was requested, which was applied, and how the candidates of `auto` compared."""

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
    """Which delegate was requested, and which one runs the operators."""

    requested: str | None  # None: the runtime's own choice
    applied: str  # "none" (the runtime's kernels), "xnnpack", "gpu", "edgetpu", or the path of a library
    operators_taken: int  # operators that the applied delegate runs
    operators: int  # operators in the model
    reason: str = ""  # why another delegate was applied, or which operators stay on the CPU
    warning: str = ""  # what the user must be told: the requested delegate was not applied
    candidates: tuple[Candidate, ...] = ()  # measured by `auto`

    def to_dict(self) -> dict[str, Any]:
        """The delegation as results files and `predict --format jsonl` have it."""
        written = {
            "asked": self.requested,
            "applied": self.applied,
            "taken": self.operators_taken,
            "of": self.operators,
            "reason": self.reason,
            "warning": self.warning,
        }
        return written | ({"candidates": [one.to_dict() for one in self.candidates]} if self.candidates else {})
