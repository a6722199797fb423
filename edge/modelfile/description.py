"""The description of a model file: the content of `osteolite.json`, checked."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

from ..errors import ModelFileError
from ..labels import LABELS
from ..preprocess import PreprocessingSpec
from .out_of_distribution import OutOfDistributionLimit

DESCRIPTION = "osteolite.json"
SCHEMA = 1
# A fracture model; a body-part network; a body-part network with a fracture model per body part; any other classifier.
FRACTURE, BODY_PART, ROUTER, CLASSES = KINDS = ("fracture", "body_part", "router", "classes")
_MAX_LABELS = {BODY_PART: 64, ROUTER: 64, CLASSES: 100_000}
_MAX_STAGE = 512 * 1024 * 1024  # bytes
_MALFORMED = (KeyError, TypeError, ValueError, OverflowError, AttributeError)


@dataclass(frozen=True)
class ModelDescription:
    """The description of a fracture model, whose output is one logit."""

    name: str  # recipe and variant
    variant: str  # float32, float16, dynamic, int8, ...
    preprocessing: PreprocessingSpec
    threshold: float  # fracture probability at or above which the label is `fractured`
    slope: float = 1.0  # probability calibration: probability = sigmoid(slope * logit + intercept)
    intercept: float = 0.0
    out_of_distribution: OutOfDistributionLimit | None = None  # None in older files and in files of other tools
    details: dict[str, Any] = field(default_factory=dict)  # all of osteolite.json

    @classmethod
    def from_dict(cls, values: Any) -> "ModelDescription":
        """Check and read the content of `osteolite.json`.

        Raises:
            ModelFileError: a field is missing or outside its range.
        """
        try:
            _check_schema(values)
            if values["labels"] != list(LABELS):
                raise ModelFileError(f"{DESCRIPTION} has labels {values['labels']!r}; they must be {list(LABELS)}")
            calibration, limits = values["probability_calibration"], values.get("out_of_distribution")
            description = cls(
                name=str(values["name"]),
                variant=str(values["variant"]),
                preprocessing=PreprocessingSpec.from_dict(values["preprocessing"]),
                threshold=float(values["threshold"]["value"]),
                slope=float(calibration["slope"]),
                intercept=float(calibration["intercept"]),
                out_of_distribution=OutOfDistributionLimit.from_dict(limits) if limits is not None else None,
                details=values,
            )
        except _MALFORMED as error:
            raise _incomplete(error) from error
        finite = all(abs(v) < 1e6 for v in (description.slope, description.intercept))
        if not (0.0 < description.threshold < 1.0 and finite):
            raise ModelFileError(
                f"{DESCRIPTION} has a threshold or calibration outside its range; convert the run again"
            )
        return description


@dataclass(frozen=True)
class Stage:
    """A model file inside a router's file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class MultiClassDescription:
    """The description of a body-part network, of a router, or of any other classifier of several classes."""

    name: str  # recipe and variant
    variant: str  # float32, float16, dynamic, int8, ...
    preprocessing: PreprocessingSpec  # of this network; each stage of a router has its own
    labels: tuple[str, ...]  # one per output; the body parts of a router
    temperature: float  # probability calibration: probabilities = softmax(logits / temperature)
    stages: dict[str, Stage]  # a router's fracture model by body part; otherwise empty
    details: dict[str, Any]  # all of osteolite.json

    @classmethod
    def from_dict(cls, values: Any) -> "MultiClassDescription":
        """Check and read the content of `osteolite.json`.

        Raises:
            ModelFileError: a field is missing or outside its range.
        """
        try:
            _check_schema(values)
            description = cls(
                name=str(values["name"]),
                variant=str(values["variant"]),
                preprocessing=PreprocessingSpec.from_dict(values["preprocessing"]),
                labels=tuple(values["labels"]),
                temperature=float(values["probability_calibration"]["temperature"]),
                stages={body_part: Stage(**entry) for body_part, entry in values.get("stages", {}).items()},
                details=values,
            )
            description._check(values["kind"])
        except _MALFORMED as error:
            raise _incomplete(error) from error
        return description

    def _check(self, kind: str) -> None:
        named = all(isinstance(label, str) and label for label in self.labels)
        most = _MAX_LABELS[kind]
        if not (named and 2 <= len(set(self.labels)) == len(self.labels) <= most):
            shown = ", ".join(map(repr, self.labels[:5]))
            raise ModelFileError(f"{DESCRIPTION} has the labels {shown}...; 2 to {most} different names are allowed")
        if not (1e-3 <= self.temperature <= 1e3 and math.isfinite(self.temperature)):
            raise ModelFileError(f"{DESCRIPTION} has temperature {self.temperature}; 0.001 to 1000 is allowed")
        if set(self.stages) != (set(self.labels) if kind == ROUTER else set()):
            raise ModelFileError(f"{DESCRIPTION} names stages that are not its body parts; convert the run again")
        for body_part, stage in self.stages.items():
            whole = isinstance(stage.bytes, int) and re.fullmatch("[0-9a-f]{64}", stage.sha256)
            if not whole or not 8 <= stage.bytes <= _MAX_STAGE:
                raise ModelFileError(
                    f"{DESCRIPTION} has an invalid size or SHA-256 for stage {body_part}; convert the run again"
                )


Description = ModelDescription | MultiClassDescription


def parse_description(values: Any) -> Description:
    """Check and read the content of `osteolite.json` of any kind.

    Raises:
        ModelFileError: a field is missing or outside its range, or the kind is unknown.
    """
    kind = values.get("kind", FRACTURE) if isinstance(values, dict) else FRACTURE
    if kind not in KINDS:
        raise ModelFileError(f"{DESCRIPTION} has kind {kind!r}; allowed are {', '.join(KINDS)}")
    return ModelDescription.from_dict(values) if kind == FRACTURE else MultiClassDescription.from_dict(values)


def _check_schema(values: Any) -> None:
    if values["schema"] != SCHEMA:
        raise ModelFileError(f"{DESCRIPTION} has schema {values['schema']!r}; this version reads schema {SCHEMA}")


def _incomplete(error: Exception) -> ModelFileError:
    return ModelFileError(f"{DESCRIPTION} is incomplete or malformed at {error}; convert the run again")
