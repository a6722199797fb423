"""Turn a decoded radiograph into the model's input, by the spec in the model file.

Training, calibration for quantisation, the gate, the benchmark and the demo all call this module, so the input on the
device is byte for byte the input in training.
"""

from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from .errors import ModelFileError

_RESAMPLING = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_CHOICES = {"aspect": ("pad", "squeeze"), "interpolation": tuple(_RESAMPLING), "channels": ("grey", "rgb")}
_MAX_SIDE = 4096
_MAX_LEVEL = 1e6  # largest mean and std: float32 still distinguishes neighbouring grey values


@dataclass(frozen=True)
class PreprocessingSpec:
    """How a grey image becomes the model's input tensor.

    Raises:
        ModelFileError: a value is outside its range; the message says what is allowed.
    """

    width: int = 224  # input width, pixels
    height: int = 224  # input height, pixels
    aspect: str = "pad"  # "pad": keep the aspect ratio and add black bars; "squeeze": fill the input
    interpolation: str = "bilinear"  # box, bilinear, bicubic or lanczos; always with antialiasing
    channels: str = "rgb"  # "rgb": the grey value in three channels; "grey": in one
    mean: float = 127.5  # tensor = (grey value - mean) / std
    std: float = 127.5

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            side = getattr(self, name)
            if not isinstance(side, int) or isinstance(side, bool) or not 1 <= side <= _MAX_SIDE:
                raise ModelFileError(f"preprocessing: {name} is {side!r}; 1 to {_MAX_SIDE} pixels are allowed")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ModelFileError(
                    f"preprocessing: {name} is {getattr(self, name)!r}; allowed are {', '.join(allowed)}"
                )
        for name in ("mean", "std"):
            value = getattr(self, name)
            least = -_MAX_LEVEL if name == "mean" else 1 / _MAX_LEVEL
            if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= _MAX_LEVEL:
                raise ModelFileError(f"preprocessing: {name} is {value!r}; {least:g} to {_MAX_LEVEL:g} is allowed")

    @classmethod
    def from_dict(cls, values: Any) -> "PreprocessingSpec":
        """Build a spec from the mapping in a model file or a recipe.

        Raises:
            ModelFileError: not a mapping, an unknown name, or a value outside its range.
        """
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) - known:
            raise ModelFileError(f"preprocessing must be a table with some of {', '.join(sorted(known))}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the input tensor."""
        return self.height, self.width, 3 if self.channels == "rgb" else 1

    def fitted_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) of an image of `width` x `height` pixels after it is resized to the input.

        >>> PreprocessingSpec(224, 224).fitted_size(400, 800)
        (112, 224)
        """
        if self.aspect == "squeeze":
            return self.width, self.height
        ratio = min(self.width / width, self.height / height)
        return max(1, round(width * ratio)), max(1, round(height * ratio))

    def enlargement(self, width: int, height: int) -> float:
        """Return the factor by which an image of `width` x `height` pixels is enlarged in the input.

        >>> PreprocessingSpec(224, 224).enlargement(56, 28)
        4.0
        """
        fitted = self.fitted_size(width, height)
        return max(fitted[0] / width, fitted[1] / height)


def fit(image: Image.Image, spec: PreprocessingSpec) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Resize a grey image to the input's size, with black bars where the spec pads.

    Returns:
        uint8 of shape (height, width).
    """
    size = spec.fitted_size(*image.size)
    if size != image.size:
        image = image.resize(size, _RESAMPLING[spec.interpolation], reducing_gap=None)
    if size == (spec.width, spec.height):
        return np.asarray(image)
    canvas = np.zeros((spec.height, spec.width), np.uint8)
    left, top = (spec.width - size[0]) // 2, (spec.height - size[1]) // 2
    canvas[top : top + size[1], left : left + size[0]] = np.asarray(image)
    return canvas


@lru_cache(maxsize=8)
def grey_levels(spec: PreprocessingSpec) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the tensor value of each of the 256 grey values: float32 of shape (256,)."""
    return (np.arange(256, dtype=np.float32) - np.float32(spec.mean)) / np.float32(spec.std)


def preprocess(image: Image.Image, spec: PreprocessingSpec) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Turn a grey image into the model's input tensor: float32 of shape (1, height, width, channels).

    >>> tensor = preprocess(Image.new("L", (10, 20), 255), PreprocessingSpec(4, 4))
    >>> tensor.shape, float(tensor[0, 0, 0, 0]), float(tensor[0, 2, 2, 0])
    ((1, 4, 4, 3), -1.0, 1.0)
    """
    pixels = grey_levels(spec)[fit(image, spec)]
    return np.repeat(pixels[None, :, :, None], spec.shape[2], axis=3)
