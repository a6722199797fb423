"""Records of delegation: the delegate requested, the delegate applied, and the candidates that `auto` measured."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Candidate:
    """The result of one delegate when `auto` measured all of them."""

    delegate: str
    milliseconds: float | None  # median time of a run; None if it could not run
    reason: str  # why it was excluded; empty if it was not

    def to_dict(self) -> dict[str, Any]:
        return {"delegate": self.delegate, "milliseconds": self.milliseconds, "reason": self.reason}


@dataclass(frozen=True)
class Delegation:
    """The delegate that was requested, and the one that runs the operators."""

    requested: str | None  # as given by the caller; None: the runtime's own choice on the CPU
    applied: str  # "none" (the runtime's kernels), "xnnpack", "gpu", "edgetpu", or the path of a library
    operators_taken: int  # operators that the applied delegate runs
    operators: int  # operators in the model
    reason: str = ""  # why another delegate was applied, or which operators run on the CPU
    warning: str = ""  # for the user: the requested delegate was not applied
    candidates: tuple[Candidate, ...] = ()  # measured by `auto`

    def to_dict(self) -> dict[str, Any]:
        """Return the delegation with the keys of result files and of `predict --format jsonl`."""
        written = {
            "asked": self.requested,
            "applied": self.applied,
            "taken": self.operators_taken,
            "of": self.operators,
            "reason": self.reason,
            "warning": self.warning,
        }
        return written | ({"candidates": [one.to_dict() for one in self.candidates]} if self.candidates else {})
