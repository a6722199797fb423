"""Whether an image looks like the radiographs that a model knows, from the features of its own network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ModelFileError

_MOST_FEATURES, _MOST_DIRECTIONS = 4096, 256
_LARGEST = 1e9  # of any number in a file
_DIRECTIONS = 64  # at most, and a quarter of the features; photographs share the few first ones with radiographs
_FLOOR = 0.5  # of the mean spread: what hardly varies is rounding in int8

Vector = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, eq=False)
class OutOfDistributionLimit:
    """How far the features of an image lie from all that known radiographs vary in.

    The features, averaged over the image, are standardised, and what the main directions of the
    known ones explain is taken away; the mean square of what is left is the score. Source: the residual of a
    principal component analysis, J. Jackson and G. Mudholkar, Technometrics 21, 1979; on features from
    the middle of a network, whose last ones no longer tell a photograph from a radiograph.
    """

    mean: Vector  # (n,): of the known radiographs' features
    scale: Vector  # (n,): their standard deviation, with a floor
    basis: Vector  # (k, n): their main directions, orthonormal, in standardised features
    limit: float  # a score above it is no image of the kind

    @classmethod
    def of(cls, features: Vector, held_out: Vector, share: float) -> "OutOfDistributionLimit":
        """Learn from known radiographs.

        Args:
            features: (images, n) of radiographs that the model was trained on.
            held_out: (images, n) of radiographs of the same kind that it was not.
            share: of the held-out images to lie within the limit, 0 to 1.
        """
        spread = features.std(axis=0)
        mean, scale = features.mean(axis=0), np.sqrt(spread**2 + (_FLOOR * spread.mean()) ** 2 + 1e-12)
        directions = min(_DIRECTIONS, features.shape[1] // 4, len(features) - 1)
        basis = np.linalg.svd((features - mean) / scale, full_matrices=False)[2][:directions]
        unlimited = cls(_rounded(mean), _rounded(scale), _rounded(basis).reshape(-1, len(mean)), limit=1.0)
        scores = [unlimited.score(one) for one in held_out]
        return cls(unlimited.mean, unlimited.scale, unlimited.basis, float(f"{np.quantile(scores, share):.6g}"))

    @classmethod
    def from_dict(cls, values: Any) -> "OutOfDistributionLimit":
        """Read what `to_dict` gave.

        Raises:
            ModelFileError: parts are missing, of sizes that do not fit, or no numbers.
        """
        try:
            mean, scale = (np.asarray(values[name], np.float32) for name in ("mean", "scale"))
            basis, limit = np.asarray(values["basis"], np.float32).reshape(-1, len(mean)), float(values["limit"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelFileError(f"the out-of-distribution limits cannot be read ({error})") from error
        fits = mean.ndim == 1 and scale.shape == mean.shape and len(mean) <= _MOST_FEATURES
        bounded = all(np.isfinite(part).all() and np.abs(part).max(initial=0) < _LARGEST for part in (mean, basis))
        if not (fits and bounded and len(basis) <= _MOST_DIRECTIONS and 0 < limit < _LARGEST):
            raise ModelFileError("the out-of-distribution limits do not fit together; convert the run again")
        if not (scale > 1 / _LARGEST).all() or not (scale < _LARGEST).all():
            raise ModelFileError("the out-of-distribution limits have a scale that is not above 0; convert it again")
        return cls(mean, scale, basis, limit)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists of numbers, which any program reads."""
        vectors = {"mean": self.mean.tolist(), "scale": self.scale.tolist(), "basis": self.basis.tolist()}
        return {"limit": self.limit, **{name: _short(values) for name, values in vectors.items()}}

    def score(self, features: Vector) -> float:
        """How unfamiliar features (n,) are: 0 or more, some 1 for known radiographs."""
        standard = (features - self.mean) / self.scale
        left = standard - (standard @ self.basis.T) @ self.basis
        return float(np.mean(left * left))


def _rounded(values: Any) -> Vector:
    """As the file will hold them."""
    return np.asarray(_short(np.asarray(values, np.float64).tolist()), np.float32)


def _short(values: Sequence[Any] | float) -> Any:
    return [_short(one) for one in values] if isinstance(values, Sequence) else float(f"{values:.3g}")
