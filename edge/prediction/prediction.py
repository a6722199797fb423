"""The answer for one image."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from ..inference.delegation import Delegation
from ..inference.tensors import Tensor


@dataclass(frozen=True)
class Prediction:
    """The answer for one image. Research use only: it is no diagnosis."""

    label: str  # "fractured" or "normal"
    fracture_probability: float  # calibrated, 0 to 1
    threshold: float  # from which the label is "fractured"
    model: str  # name of the model that answered
    milliseconds: dict[str, float]  # time spent in "read", "preprocess" and "invoke"; a router's also in "load"
    delegation: Delegation  # what ran the operators
    warnings: dict[str, str] = field(default_factory=dict)  # what speaks against a bone radiograph, by its kind
    ood_score: float | None = None  # out-of-distribution score in shares of the limit; above 1 it warns
    body_part: str | None = None  # that a router found, and whose fracture model answered
    body_part_probability: float | None = None  # calibrated, 0 to 1
    activation_map: Tensor | None = field(default=None, repr=False, compare=False)  # (rows, columns), of the logit
    heatmap: Image.Image | None = field(default=None, repr=False, compare=False)  # of the map over the image

    def to_dict(self) -> dict[str, Any]:
        """As the command line prints it: without the pictures."""
        about, part = self.delegation.to_dict(), dict[str, Any]()
        if self.body_part is not None and self.body_part_probability is not None:
            part = {"body_part": self.body_part, "body_part_probability": round(self.body_part_probability, 6)}
        return {
            **part,
            "label": self.label,
            "fracture_probability": round(self.fracture_probability, 6),
            "threshold": round(self.threshold, 6),
            "warnings": self.warnings,
            "unfamiliarity": None if self.ood_score is None else round(self.ood_score, 3),
            "model": self.model,
            "delegate": {key: about[key] for key in ("asked", "applied", "taken", "of", "reason")},
            "milliseconds": {step: round(spent, 3) for step, spent in self.milliseconds.items()},
        }


@contextmanager
def timed(milliseconds: dict[str, float], step: str) -> Iterator[None]:
    """Add the time that the block takes to a step's."""
    start = time.perf_counter()
    yield
    milliseconds[step] = milliseconds.get(step, 0.0) + 1e3 * (time.perf_counter() - start)
