"""The result for one image."""

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
    """The result for one image. Research use only: it is not a diagnosis."""

    label: str  # "fractured" or "normal"
    fracture_probability: float  # calibrated, 0 to 1
    threshold: float  # probability at or above which the label is "fractured"
    model: str  # name of the model
    milliseconds: dict[str, float]  # by step: read, preprocess, invoke, check; also load (router), draw
    delegation: Delegation  # delegate requested and delegate applied
    warnings: dict[str, str] = field(default_factory=dict)  # by kind, see `image_checks`
    ood_score: float | None = None  # out-of-distribution score divided by its limit; above 1: a warning
    body_part: str | None = None  # found by a router, which used its fracture model
    body_part_probability: float | None = None  # calibrated, 0 to 1
    activation_map: Tensor | None = field(default=None, repr=False, compare=False)  # (rows, columns)
    heatmap: Image.Image | None = field(default=None, repr=False, compare=False)  # mode "RGB"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as the command line prints them, without map and heatmap."""
        about, body_part = self.delegation.to_dict(), dict[str, Any]()
        if self.body_part is not None and self.body_part_probability is not None:
            body_part = {"body_part": self.body_part, "body_part_probability": round(self.body_part_probability, 6)}
        return {
            **body_part,
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
    """Add the time of the block to the milliseconds of a step."""
    start = time.perf_counter()
    yield
    milliseconds[step] = milliseconds.get(step, 0.0) + 1e3 * (time.perf_counter() - start)
