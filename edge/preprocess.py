"""From a decoded radiograph to the model's input, by the spec that the model file carries.

Training, quantisation's calibration, the gate, the benchmark and the demo all call this module:
what a model saw in training is, byte for byte, what it sees on the device.
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
_MAX_LEVEL = 1e6  # of mean and std: float32 holds every tensor value, and tells neighbours apart


@dataclass(frozen=True)
class PreprocessingSpec:
    """How a grey image becomes the model's input tensor.

    Raises:
        ModelFileError: a value outside its range; the message lists what is allowed.
    """

    width: int = 224  # of the input, pixels
    height: int = 224  # of the input, pixels
    aspect: str = "pad"  # "pad": keep the aspect ratio, black bars around; "squeeze": fill the input
    interpolation: str = "bilinear"  # box, bilinear, bicubic or lanczos, each with antialiasing
    channels: str = "rgb"  # "rgb": the grey value three times; "grey": once
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
        """Build from the mapping in a model file or a recipe; an unknown name is an error."""
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
        """The (width, height) that an image of `width` x `height` takes inside the input.

        >>> PreprocessingSpec(224, 224).fitted_size(400, 800)
        (112, 224)
        """
        if self.aspect == "squeeze":
            return self.width, self.height
        ratio = min(self.width / width, self.height / height)
        return max(1, round(width * ratio)), max(1, round(height * ratio))

    def enlargement(self, width: int, height: int) -> float:
        """How many times longer the sides of an image of `width` x `height` become inside the input.

        >>> PreprocessingSpec(224, 224).enlargement(56, 28)
        4.0
        """
        fitted = self.fitted_size(width, height)
        return max(fitted[0] / width, fitted[1] / height)


def fit(image: Image.Image, spec: PreprocessingSpec) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Resize a grey image to the input's size: uint8 of shape (height, width)."""
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
    """The tensor value of each of the 256 grey values: float32 of shape (256,)."""
    return (np.arange(256, dtype=np.float32) - np.float32(spec.mean)) / np.float32(spec.std)


def preprocess(image: Image.Image, spec: PreprocessingSpec) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Turn a grey image into the model's input: float32 of shape (1, height, width, channels).

    >>> tensor = preprocess(Image.new("L", (10, 20), 255), PreprocessingSpec(4, 4))
    >>> tensor.shape, float(tensor[0, 0, 0, 0]), float(tensor[0, 2, 2, 0])
    ((1, 4, 4, 3), -1.0, 1.0)
    """
    pixels = grey_levels(spec)[fit(image, spec)]
    return np.repeat(pixels[None, :, :, None], spec.shape[2], axis=3)
