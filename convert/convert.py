"""Conversion of one classifier to released .tflite files, each with the gate's verdict inside."""

import zlib
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.atomic import write_json
from osteolite.edge.errors import UsageError
from osteolite.edge.inference.opening import open_session
from osteolite.edge.inference.session import InferenceSession
from osteolite.edge.inference.tensors import Outputs, Tensor
from osteolite.edge.modelfile.archive import write_model
from osteolite.edge.modelfile.description import FRACTURE
from osteolite.edge.modelfile.out_of_distribution import OutOfDistributionLimit
from osteolite.edge.preprocess import PreprocessingSpec
from osteolite.edge.silence import quiet_stderr
from osteolite.train.console import console, tracked

from .gate.error_by_operator import OperatorError, largest_errors, operator_errors
from .gate.gate import Array, MulticlassVerdict, Verdict
from .sources.known_features import known_features
from .sources.subject import Subject
from .variants.activation_ranges import RangeExcess, range_excess, with_ranges
from .variants.metadata import metadata, with_metadata
from .variants.variants import VARIANTS, Source

_ERROR_IMAGES = 8  # images on which the errors of operators are measured
_SHIFT_IMAGES = 64  # calibration images, half of them fractured, whose mean logit corrects a variant's
_WITHIN_LIMIT = 0.98  # share of the validation images within the out-of-distribution limit
_LARGE_EXCESS = 0.25  # share of a tensor's range; similar images exceed it by a few hundredths at most


@dataclass(frozen=True)
class Converted:
    """The result of converting to one variant."""

    variant: str
    file: Path | None  # the released file; None if refused
    size: int  # bytes of the flatbuffer
    compressed: int  # bytes of the flatbuffer after deflate, as a download or an app compresses it
    verdict: Verdict | MulticlassVerdict
    worst_operators: tuple[OperatorError, ...] = ()  # of a refused variant
    stage: str = ""  # of a router: body_part, or the body part of a fracture model

    @property
    def reasons(self) -> str:
        """Why the variant was refused, at which operators the error starts, and what to try."""
        starts = f"the error starts at {', '.join(map(str, self.worst_operators))}; " if self.worst_operators else ""
        return f"{'; '.join(self.verdict.reasons)}; {starts}{VARIANTS[self.variant].advice}"


def chosen_variants(requested: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    """Check the names of variants.

    Args:
        requested: names of `VARIANTS`, or "all" alone; empty, the default.
        default: the recipe's list.

    Raises:
        UsageError: a variant is unknown.
    """
    if requested == ("all",):
        return tuple(VARIANTS)
    if unknown := [name for name in requested if name not in VARIANTS]:
        raise UsageError(f"no variant {', '.join(unknown)}; choose all, or some of {', '.join(VARIANTS)}")
    return requested or default


def convert(subject: Subject, variants: tuple[str, ...], out: Path) -> list[Converted]:
    """Convert a classifier to variants and release those that pass the gate.

    Args:
        subject: the classifier.
        variants: names of `VARIANTS`, or "all"; empty, the subject's own list.
        out: the folder for the released files and `conversion.json`.

    Returns:
        One entry for each variant, in order. A refused variant is not written, and the file that an
        earlier conversion released under its name is deleted.

    Raises:
        UsageError: a variant is unknown.
    """
    names = chosen_variants(variants, subject.conversion.variants)
    conversion = _Conversion(subject)
    warnings = subject.calibration.warnings()
    if any(VARIANTS[name].uses_calibration for name in names):
        warnings += conversion.range_warnings()
    for warning in warnings:
        console.print(f"warning: {warning}")
    results = [conversion.release(name, out / f"{subject.name}_{name}.tflite", warnings) for name in names]
    write_json(out / "conversion.json", conversion.summary(results, warnings))
    return results


@dataclass(frozen=True)
class _Conversion:
    """The conversion of one subject, with what all its variants share."""

    subject: Subject

    @cached_property
    def source(self) -> Source:
        subject = self.subject
        return Source(
            subject.float32(), subject.calibration.tensors, subject.conversion.float_operators, subject.finetune
        )

    @cached_property
    def excess(self) -> RangeExcess:
        """How far validation images, as many as calibration images, exceed the ranges of the calibration data."""
        others = self.subject.tensors[:: max(1, len(self.subject.tensors) // len(self.source.calibration))]
        return range_excess(self.source.float32_with_ranges, with_ranges(self.source.float32, others))

    def range_warnings(self) -> list[str]:
        if self.excess.share < _LARGE_EXCESS:
            return []
        return [
            f"validation images exceed the range of the calibration data by {self.excess.share:.0%}, most at "
            f"{self.excess.tensor.split(';')[-1]}: int8 clips these values; give more calibration images like them"
        ]

    def release(self, name: str, target: Path, warnings: list[str]) -> Converted:
        """Write the variant's file if it passes the gate; if not, find the operators at which its error starts."""
        subject, values = self.subject, self._description(name, warnings)
        console.print(f"converting {subject.name} to {name}")
        flatbuffer = with_metadata(VARIANTS[name].write(self.source), self._metadata(values))
        with quiet_stderr():
            session = open_session(flatbuffer)
        shift = self._logit_shift(session)
        outputs = [session.run(tensor) for tensor in tracked(subject.tensors, "comparing", len(subject.tensors))]
        verdict = subject.judge(np.array([one.values.reshape(-1) for one in outputs]) - shift)
        target.unlink(missing_ok=True)
        worst: tuple[OperatorError, ...] = ()
        if verdict.passed:
            limit = {"out_of_distribution": self._out_of_distribution(name, session, outputs)}
            write_model(target, flatbuffer, {**_with_shift(values, shift), **limit, "gate": verdict.to_dict()})
        elif name != "float32":
            errors = operator_errors(self.source.float32, flatbuffer, subject.tensors[:_ERROR_IMAGES])
            worst = tuple(largest_errors(errors))
        compressed = len(zlib.compress(flatbuffer, 9))
        return Converted(name, target if verdict.passed else None, len(flatbuffer), compressed, verdict, worst)

    def _logit_shift(self, session: InferenceSession) -> float:
        """A variant's mean logit on calibration images, minus that of the float32 network."""
        if self.subject.description["kind"] != FRACTURE:
            return 0.0
        return float(np.mean([session.invoke(tensor) for tensor in self._shift_images]) - self._float_logit)

    @cached_property
    def _float_session(self) -> InferenceSession:
        with quiet_stderr():
            return open_session(self.source.float32)

    @cached_property
    def _float_logit(self) -> float:
        """The float32 network's mean logit on the same images."""
        return float(np.mean([self._float_session.invoke(tensor) for tensor in self._shift_images]))

    @property
    def _shift_images(self) -> list[Tensor]:
        tensors = self.subject.calibration.tensors  # ordered by class, so every nth keeps the classes' shares
        return tensors[:: max(1, len(tensors) // _SHIFT_IMAGES)]

    def _out_of_distribution(
        self, name: str, session: InferenceSession, outputs: list[Outputs]
    ) -> dict[str, Any] | None:
        """The variant's own limit, because quantisation raises all scores."""
        held_out = [one.features for one in outputs if one.features is not None]
        if not held_out or self.subject.known_images is None:
            return None
        known = self._known_features(session) if VARIANTS[name].changes_features else self._float_features
        return OutOfDistributionLimit.fit(known, np.stack(held_out), _WITHIN_LIMIT).to_dict()

    @cached_property
    def _float_features(self) -> Array:
        return self._known_features(self._float_session)

    def _known_features(self, session: InferenceSession) -> Array:
        assert self.subject.known_images is not None
        spec = PreprocessingSpec.from_dict(self.subject.description["preprocessing"])
        return known_features(session, self.subject.known_images(), spec)

    def _metadata(self, values: dict[str, Any]) -> bytes:
        spec = PreprocessingSpec.from_dict(values["preprocessing"])
        shapes = {"activation_map": self._float_session.map_shape, "features": self._float_session.feature_count}
        extras = [name for name, shape in shapes.items() if shape]
        return metadata(values["name"], spec, values["kind"] == FRACTURE, extras)

    def _description(self, name: str, warnings: list[str]) -> dict[str, Any]:
        subject, variant = self.subject, VARIANTS[name]
        calibration = {**subject.calibration.describe(), "warnings": warnings} if variant.uses_calibration else None
        if calibration and variant.keeps_first:
            calibration["float_operators"] = subject.conversion.float_operators
        map_shape = self._float_session.map_shape
        return {
            "name": f"{subject.name}_{name}",
            "variant": name,
            **subject.description,
            "activation_map": list(map_shape) if map_shape else None,  # rows and columns
            "quantisation_calibration": calibration,
        }

    def summary(self, results: list[Converted], warnings: list[str]) -> dict[str, Any]:
        """The content of conversion.json."""
        measured = any(VARIANTS[result.variant].uses_calibration for result in results)
        return {
            **{key: value for key, value in self.subject.description.items() if key == "threshold"},
            "quantisation_calibration": {
                **self.subject.calibration.describe(),
                "excess": asdict(self.excess) if measured else None,
                "warnings": warnings,
            },
            "variants": [
                {
                    "variant": result.variant,
                    "file": result.file.name if result.file else None,
                    "bytes": result.size,
                    "compressed_bytes": result.compressed,
                    "gate": result.verdict.to_dict(),
                    "origin": [one.to_dict() for one in result.worst_operators],
                }
                for result in results
            ],
        }


def _with_shift(values: dict[str, Any], shift: float) -> dict[str, Any]:
    """Correct the mean error of the logit in the probability calibration.

    Source: the bias correction of M. Nagel et al., ICCV 2019, for the last layer alone.
    """
    calibration = values["probability_calibration"]
    if "intercept" not in calibration:  # several classes
        return values
    intercept = calibration["intercept"] - calibration["slope"] * shift
    return {**values, "probability_calibration": {**calibration, "intercept": intercept, "logit_shift": shift}}
