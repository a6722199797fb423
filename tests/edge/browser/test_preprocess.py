"""The page's preprocessing is bit-identical to Pillow and edge/preprocess.py."""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from osteolite.edge.prediction.heatmap import content_map, layer
from osteolite.edge.preprocess import PreprocessingSpec, fit, grey_levels, preprocess

_INTERPOLATIONS = ("box", "bilinear", "bicubic", "lanczos")
_SIZES = [(1, 1), (2, 3), (1, 70), (90, 1), (31, 47), (32, 32), (64, 40), (373, 454), (640, 97), (1000, 700)]
_TARGETS = [(1, 1), (32, 32), (37, 61), (96, 64), (300, 299)]


def array(text: str, dtype: Any) -> np.ndarray[Any, Any]:
    return np.frombuffer(base64.b64decode(text), dtype)


def images() -> list[Image.Image]:
    """Noise, whose extremes make filters exceed 0 to 255, and edges."""
    random = np.random.default_rng(5)
    found = [Image.fromarray(random.integers(0, 256, (height, width), np.uint8)) for width, height in _SIZES]
    return [*found, Image.fromarray((np.indices((90, 130)).sum(axis=0) // 9 % 2 * 255).astype(np.uint8))]


def test_every_filter_matches_pillow(evaluate: Callable[..., Any]) -> None:
    pictures = images()
    cases = [
        (number, target, interpolation)
        for number in range(len(pictures))
        for target in _TARGETS
        for interpolation in _INTERPOLATIONS
    ]
    found = evaluate(
        """async (js, bytes, {cases, sizes}, base64) => {
          const greys = await Promise.all(sizes.map((size, at) => bytes(`grey${at}`)));
          return cases.map(([number, target, interpolation]) =>
            base64(js.resize(greys[number], ...sizes[number], ...target, interpolation)));
        }""",
        {"cases": cases, "sizes": [image.size for image in pictures]},
        {f"grey{number}": image.tobytes() for number, image in enumerate(pictures)},
    )
    for (number, target, interpolation), text in zip(cases, found, strict=True):
        expected = pictures[number].resize(target, getattr(Image.Resampling, interpolation.upper()))
        assert (array(text, np.uint8) == np.asarray(expected).ravel()).all(), (number, target, interpolation)


def test_fitting_matches_python(evaluate: Callable[..., Any]) -> None:
    specs = [
        PreprocessingSpec(*size, aspect=aspect, interpolation="bilinear", channels=channels, mean=mean, std=std)
        for size in ((32, 48), (224, 224))
        for aspect in ("pad", "squeeze")
        for channels, mean, std in (("grey", 127.5, 127.5), ("rgb", 123.675, 58.4))
    ]
    found = evaluate(
        """async (js, bytes, {specs, sizes}, base64) => {
          const greys = await Promise.all(sizes.map(async ([width, height], at) =>
            ({width, height, data: await bytes(`fit${at}`)})));
          return specs.flatMap((spec) => greys.map((grey) => {
            const pixels = js.fit(grey, spec);
            return [base64(pixels), base64(js.greyLevels(spec)), base64(js.tensorOf(pixels, spec))];
          }));
        }""",
        {"specs": [spec.to_dict() for spec in specs], "sizes": [image.size for image in images()]},
        {f"fit{number}": image.tobytes() for number, image in enumerate(images())},
    )
    cases = [(spec, image) for spec in specs for image in images()]
    for (spec, image), (pixels, levels, tensor) in zip(cases, found, strict=True):
        assert (array(pixels, np.uint8) == fit(image, spec).ravel()).all()
        assert (array(levels, np.float32) == grey_levels(spec)).all()
        assert (array(tensor, np.float32) == preprocess(image, spec).ravel()).all()


def test_fitted_sizes_match_python(evaluate: Callable[..., Any]) -> None:
    """Including halves, which Python rounds to the even number."""
    spec = PreprocessingSpec(96, 64)
    sizes = [(width, height) for width in range(1, 400, 3) for height in range(1, 400, 7)] + [
        (192, 3),
        (192, 5),
        (6, 256),
    ]
    found = evaluate("(js, bytes, {spec, sizes}) => sizes.map((size) => js.fittedSize(spec, ...size))",
                {"spec": spec.to_dict(), "sizes": sizes})  # fmt: skip
    expected = [spec.fitted_size(*size) for size in sizes]
    assert [tuple(one) for one in found] == expected
    halves = [
        size
        for size in sizes
        if (ratio := min(96 / size[0], 64 / size[1])) * size[1] % 1 == 0.5 or ratio * size[0] % 1 == 0.5
    ]
    assert len(halves) >= 3


def test_heatmap_colours_match_python(evaluate: Callable[..., Any]) -> None:
    spec = PreprocessingSpec(96, 128)
    offsets = np.array([[[0]], [[0.5]], [[9]]], np.float32)
    maps = np.random.default_rng(3).normal(size=(3, 4, 3)).astype(np.float32) - offsets
    found = evaluate(
        """async (js, bytes, spec, base64) => Promise.all([0, 1, 2].map(async (at) => {
          const map = {rows: 4, columns: 3, values: new Float32Array((await bytes(`map${at}`)).buffer)};
          const image = js.layer(map, spec, 373, 454);
          return [image.width, image.height, base64(js.contentMap(map, spec, 373, 454).data), base64(image.data)];
        }))""",
        spec.to_dict(),
        {f"map{number}": one.tobytes() for number, one in enumerate(maps)},
    )
    for one, (width, height, content, colours) in zip(maps, found, strict=True):
        heat = content_map(one, spec, 373, 454)
        assert (height, width) == heat.shape
        assert np.abs(array(content, np.float32) - heat.ravel()).max() < 1e-6
        difference = np.abs(array(colours, np.uint8).astype(int) - np.asarray(layer(heat), int).ravel())
        assert difference.reshape(-1, 4).max(axis=1).mean() < 0.01  # rounding may choose the next colour
