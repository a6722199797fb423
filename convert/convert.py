"""From a trained classifier to released .tflite files, each with the gate's verdict inside."""

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

from .gate.error_by_operator import OperatorError, operator_errors, worst
from .gate.gate import Array, PartVerdict, Verdict
from .sources.known_features import known_features
from .sources.subject import Subject
from .variants.activation_ranges import Excess, excess, with_ranges
from .variants.metadata import metadata, with_metadata
from .variants.variants import VARIANTS, Source

_LOOKED_AT = 8  # images for the search of where an error starts
_SHIFTED_BY = 64  # images, half of them fractured, by whose mean logit a variant is corrected
_FAMILIAR = 0.98  # of the validation images lie within the out-of-distribution limit
_FAR = 0.25  # of a tensor's range: images of one kind stay within a few hundredths of it


@dataclass(frozen=True)
class Converted:
    """One variant and what became of it."""

    variant: str
    file: Path | None  # where it was released; None if it was refused
    size: int  # bytes of the flatbuffer
    compressed: int  # of these, packed by deflate, as a download or an app would be
    verdict: Verdict | PartVerdict
    origin: tuple[OperatorError, ...] = ()  # of a refused one: where its error starts
    stage: str = ""  # of a router: the body-part network or a part's fracture model

    @property
    def reasons(self) -> str:
        """Why it was refused, where the error starts, and what to try."""
        starts = f"the error starts at {', '.join(map(str, self.origin))}; " if self.origin else ""
        return f"{'; '.join(self.verdict.reasons)}; {starts}{VARIANTS[self.variant].advice}"


def chosen_variants(asked: tuple[str, ...], own: tuple[str, ...]) -> tuple[str, ...]:
    """The variants asked for, "all" of them, or without any the recipe's own.

    Raises:
        UsageError: an unknown variant.
    """
    if asked == ("all",):
        return tuple(VARIANTS)
    if unknown := [name for name in asked if name not in VARIANTS]:
        raise UsageError(f"no variant {', '.join(unknown)}; known are all, {', '.join(VARIANTS)}")
    return asked or own


def convert(subject: Subject, variants: tuple[str, ...], out: Path) -> list[Converted]:
    """Convert a classifier into variants and release those that pass the gate.

    Args:
        subject: the classifier.
        variants: names of `VARIANTS`, or "all"; empty takes the subject's own list.
        out: the folder for the released files and `conversion.json`.

    Returns:
        One entry a variant, in order. A refused variant is not written, and a file that an earlier
        conversion released under its name is taken away.

    Raises:
        UsageError: an unknown variant.
    """
    names = chosen_variants(variants, subject.conversion.variants)
    conversion = _Conversion(subject)
    warnings = subject.calibration.warnings()
    if any(VARIANTS[name].calibrated for name in names):
        warnings += conversion.range_warnings()
    for warning in warnings:
        console.print(f"warning: {warning}")
    results = [conversion.release(name, out / f"{subject.name}_{name}.tflite", warnings) for name in names]
    write_json(out / "conversion.json", conversion.summary(results, warnings))
    return results


@dataclass(frozen=True)
class _Conversion:
    """One subject, whose flatbuffer and ranges all its variants share."""

    subject: Subject

    @cached_property
    def source(self) -> Source:
        subject = self.subject
        return Source(
            subject.float32(), subject.calibration.tensors, subject.conversion.float_operators, subject.retrain
        )

    @cached_property
    def excess(self) -> Excess:
        """How far as many validation images leave the ranges of the calibration data."""
        others = self.subject.tensors[:: max(1, len(self.subject.tensors) // len(self.source.calibration))]
        return excess(self.source.calibrated, with_ranges(self.source.float32, others))

    def range_warnings(self) -> list[str]:
        if self.excess.share < _FAR:
            return []
        return [
            f"validation images leave the range of the calibration data by {self.excess.share:.0%}, most at "
            f"{self.excess.tensor.split(';')[-1]}: int8 clips what lies beyond; give more images, of the same kind"
        ]

    def release(self, name: str, target: Path, warnings: list[str]) -> Converted:
        """Write the variant's file if it passes the gate; if not, look where its error starts."""
        subject, values = self.subject, self._description(name, warnings)
        console.print(f"converting {subject.name} to {name}")
        flatbuffer = with_metadata(VARIANTS[name].write(self.source), self._metadata(values))
        with quiet_stderr():
            session = open_session(flatbuffer)
        shift = self._shift(session)
        outputs = [session.run(tensor) for tensor in tracked(subject.tensors, "examining", len(subject.tensors))]
        verdict = subject.judge(np.array([one.values.reshape(-1) for one in outputs]) - shift)
        target.unlink(missing_ok=True)
        origin: tuple[OperatorError, ...] = ()
        if verdict.passed:
            limits = {"out_of_distribution": self._familiar(name, session, outputs)}
            write_model(target, flatbuffer, {**_shifted(values, shift), **limits, "gate": verdict.to_dict()})
        elif name != "float32":
            origin = tuple(worst(operator_errors(self.source.float32, flatbuffer, subject.tensors[:_LOOKED_AT])))
        packed = len(zlib.compress(flatbuffer, 9))
        return Converted(name, target if verdict.passed else None, len(flatbuffer), packed, verdict, origin)

    def _shift(self, session: InferenceSession) -> float:
        """By how much a variant's logit is too high on the mean of the calibration data."""
        if self.subject.description["kind"] != FRACTURE:
            return 0.0
        return float(np.mean([session.invoke(tensor) for tensor in self._seen]) - self._float_logit)

    @cached_property
    def _float(self) -> InferenceSession:
        """The float32 network."""
        with quiet_stderr():
            return open_session(self.source.float32)

    @cached_property
    def _float_logit(self) -> float:
        """Its mean logit on the same images."""
        return float(np.mean([self._float.invoke(tensor) for tensor in self._seen]))

    @property
    def _seen(self) -> list[Tensor]:
        seen = self.subject.calibration.tensors  # one class after the other
        return seen[:: max(1, len(seen) // _SHIFTED_BY)]

    def _familiar(self, name: str, session: InferenceSession, outputs: list[Outputs]) -> dict[str, Any] | None:
        """What its features are on images that it knows; the limit is its own, as rounding adds to all scores."""
        held_out = [one.features for one in outputs if one.features is not None]
        if not held_out or self.subject.known is None:
            return None
        known = self._known_features(session) if VARIANTS[name].other_features else self._float_features
        return OutOfDistributionLimit.of(known, np.stack(held_out), _FAMILIAR).to_dict()

    @cached_property
    def _float_features(self) -> Array:
        return self._known_features(self._float)

    def _known_features(self, session: InferenceSession) -> Array:
        """Of images that the network was trained on."""
        assert self.subject.known is not None
        spec = PreprocessingSpec.from_dict(self.subject.description["preprocessing"])
        return known_features(session, self.subject.known(), spec)

    def _metadata(self, values: dict[str, Any]) -> bytes:
        spec = PreprocessingSpec.from_dict(values["preprocessing"])
        has = {"activation_map": self._float.map_shape, "features": self._float.feature_count}
        extras = [name for name, shape in has.items() if shape]
        return metadata(values["name"], spec, values["kind"] == FRACTURE, extras)

    def _description(self, name: str, warnings: list[str]) -> dict[str, Any]:
        subject, variant = self.subject, VARIANTS[name]
        seen = {**subject.calibration.describe(), "warnings": warnings} if variant.calibrated else None
        if seen and variant.mixed:
            seen["float_operators"] = subject.conversion.float_operators
        return {
            "name": f"{subject.name}_{name}",
            "variant": name,
            **subject.description,
            "activation_map": list(self._float.map_shape) if self._float.map_shape else None,  # rows and columns
            "quantisation_calibration": seen,
        }

    def summary(self, results: list[Converted], warnings: list[str]) -> dict[str, Any]:
        measured = any(VARIANTS[result.variant].calibrated for result in results)
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
                    "origin": [one.to_dict() for one in result.origin],
                }
                for result in results
            ],
        }


def _shifted(values: dict[str, Any], shift: float) -> dict[str, Any]:
    """Take the mean error of the logit back where it becomes a probability.

    Source: the correction of the bias by data, M. Nagel et al., ICCV 2019, for the last layer alone.
    """
    calibration = values["probability_calibration"]
    if "intercept" not in calibration:  # of several classes
        return values
    intercept = calibration["intercept"] - calibration["slope"] * shift
    return {**values, "probability_calibration": {**calibration, "intercept": intercept, "logit_shift": shift}}
