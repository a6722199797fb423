"""The out-of-distribution score: how far an image is from known radiographs, in the features of the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ModelFileError

_MAX_FEATURES, _MAX_DIRECTIONS = 4096, 256
_MAX_VALUE = 1e9  # largest number in a file
# Most principal directions, besides a quarter of the features; photographs share the first few with radiographs.
_DIRECTIONS = 64
_FLOOR = 0.5  # floor of the scale, relative to the mean deviation: less variation is rounding in int8

Vector = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, eq=False)
class OutOfDistributionLimit:
    """A principal component model of the features of known radiographs, and a limit for its residual.

    The features, averaged over the image, are standardised, and their projection on the principal directions of known
    radiographs is subtracted. The score is the mean square of the residual. Source: J. Jackson and G. Mudholkar,
    "Control procedures for residuals associated with principal component analysis", Technometrics 21, 1979. The
    features are taken from the middle of the network: the last ones do not separate photographs from radiographs.
    """

    mean: Vector  # (n,): mean features of known radiographs
    scale: Vector  # (n,): their standard deviation, with a floor
    basis: Vector  # (k, n): their principal directions, orthonormal, in standardised features
    limit: float  # a score above it is out of distribution

    @classmethod
    def fit(cls, features: Vector, held_out: Vector, share: float) -> "OutOfDistributionLimit":
        """Fit the directions and the limit to known radiographs.

        Args:
            features: (images, n): features of training images.
            held_out: (images, n): features of radiographs of the same kind that are not training images.
            share: share of the held-out images that are within the limit, 0 to 1.
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
        """Read the output of `to_dict`.

        Raises:
            ModelFileError: an entry is missing, has the wrong size, or is not a number in its range.
        """
        try:
            mean, scale = (np.asarray(values[name], np.float32) for name in ("mean", "scale"))
            basis, limit = np.asarray(values["basis"], np.float32).reshape(-1, len(mean)), float(values["limit"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelFileError(
                f"the out-of-distribution limits cannot be read ({error}); convert the run again"
            ) from error
        fits = mean.ndim == 1 and scale.shape == mean.shape and len(mean) <= _MAX_FEATURES
        bounded = all(np.isfinite(one).all() and np.abs(one).max(initial=0) < _MAX_VALUE for one in (mean, basis))
        if not (fits and bounded and len(basis) <= _MAX_DIRECTIONS and 0 < limit < _MAX_VALUE):
            raise ModelFileError("the out-of-distribution limits have wrong sizes or values; convert the run again")
        if not (scale > 1 / _MAX_VALUE).all() or not (scale < _MAX_VALUE).all():
            raise ModelFileError("the out-of-distribution limits have a scale outside its range; convert the run again")
        return cls(mean, scale, basis, limit)

    def to_dict(self) -> dict[str, Any]:
        """Return the limit and the vectors as lists of numbers of three digits."""
        vectors = {"mean": self.mean.tolist(), "scale": self.scale.tolist(), "basis": self.basis.tolist()}
        return {"limit": self.limit, **{name: _short(values) for name, values in vectors.items()}}

    def score(self, features: Vector) -> float:
        """Return the out-of-distribution score of features (n,): 0 or more, about 1 for known radiographs."""
        standard = (features - self.mean) / self.scale
        residual = standard - (standard @ self.basis.T) @ self.basis
        return float(np.mean(residual * residual))


def _rounded(values: Any) -> Vector:
    """Round as `to_dict` does."""
    return np.asarray(_short(np.asarray(values, np.float64).tolist()), np.float32)


def _short(values: Sequence[Any] | float) -> Any:
    return [_short(one) for one in values] if isinstance(values, Sequence) else float(f"{values:.3g}")
