"""Synthetic radiograph phantoms: a data set without a download, for a first run and for tests.

A phantom is a bone shaft with cortex, medulla and trabecular texture in soft tissue, with varying noise and
exposure. Half of the phantoms have a fracture line or a displaced fragment. A network learns from them to find a
break in a drawn bone, and nothing about patients.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter

from osteolite.edge.atomic import atomic_path
from osteolite.edge.labels import LABELS

from ..console import tracked

Array = np.ndarray[Any, Any]


def draw_phantom(fractured: bool, random: np.random.Generator, width: int = 150, height: int = 180) -> Image.Image:
    """Draw one phantom.

    Args:
        fractured: whether the shaft is broken.
        random: source of every property; the same state gives the same image.
        width: pixels.
        height: pixels.

    Returns:
        A Pillow image of mode "L".

    >>> draw_phantom(True, np.random.default_rng(1)).size
    (150, 180)
    """
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = random.uniform(-0.4, 0.4)
    across = (x - width * random.uniform(0.42, 0.58)) * np.cos(angle) + (y - height / 2) * np.sin(angle)
    along = (y - height / 2) * np.cos(angle) - (x - width / 2) * np.sin(angle)
    across = across + random.uniform(-6, 6) * np.sin(along / height * 3 + random.uniform(0, 3))
    radius = width * random.uniform(0.09, 0.14)
    line = None
    if fractured:
        place = height * random.uniform(-0.28, 0.28)
        tilt, jag = random.uniform(-0.7, 0.7), random.uniform(0.6, 1.8)
        line = along - place - tilt * across - jag * _waves(across, random, radius)
        if random.random() < 0.5:  # displaced: the part beyond the line is shifted sideways
            shift = random.choice([-1, 1]) * radius * random.uniform(0.35, 0.8)
            across = across + shift * (line > 0)
    bone = _bone(across, along, radius, height, random)
    if line is not None:
        gap = random.uniform(0.9, 1.8)
        bone = bone * (1 - random.uniform(0.6, 0.9) * np.exp(-((line / gap) ** 2)))
    tissue = 0.22 * np.exp(-((across / (radius * random.uniform(2.2, 3.2))) ** 4))
    return _expose(bone + tissue, random)


def _waves(position: Array, random: np.random.Generator, radius: float) -> Array:
    phases = random.uniform(0, 6.28, 3)
    waves: Array = sum(np.sin(position / radius * k + p) / k for k, p in zip((3, 5, 9), phases, strict=True))
    return 2 * waves


def _bone(across: Array, along: Array, radius: float, height: int, random: np.random.Generator) -> Array:
    """Draw a tube with bright cortex, darker medulla and trabecular texture that flares towards its ends."""
    flare = 1 + random.uniform(0.2, 0.6) * np.clip(np.abs(along) / (height / 2) - 0.45, 0, None) ** 2 * 4
    inside = np.clip(1 - (across / (radius * flare)) ** 2, 0, None)
    inner = np.clip(1 - (across / (radius * flare * random.uniform(0.55, 0.75))) ** 2, 0, None)
    tube = np.sqrt(inside) - random.uniform(0.45, 0.65) * np.sqrt(inner)
    texture = _blurred(random.standard_normal(across.shape), 1.2) * (inside > 0)
    return (random.uniform(0.5, 0.75) * tube + random.uniform(0.02, 0.06) * texture).astype(np.float32)


def _blurred(noise: Any, sigma: float) -> Array:
    blurred: Array = 2 * gaussian_filter(np.asarray(noise, np.float32), sigma)
    return blurred


def _expose(density: Array, random: np.random.Generator) -> Image.Image:
    height, width = density.shape
    tilt = random.uniform(-0.05, 0.05) * np.linspace(-1, 1, width, dtype=np.float32)
    shadows = _blurred(random.standard_normal(density.shape), 12) * 1.2  # soft tissue
    signal = np.clip(density + tilt + shadows + random.uniform(0.02, 0.1), 0, None) ** random.uniform(0.8, 1.25)
    noisy = signal * random.uniform(0.75, 1.15) + random.standard_normal((height, width)) * random.uniform(0.01, 0.03)
    image = Image.fromarray((np.clip(noisy, 0, 1) * 255).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 0.7)))


def write_phantoms(folder: Path, count: int, seed: int) -> Path:
    """Write `count` phantoms as PNG files into `folder`/{fractured,normal}/, half of each.

    The same seed gives the same files. A folder that already holds them is left unchanged.
    """
    done = folder / f"phantoms-{count}-{seed}.txt"
    if done.is_file():
        return folder
    for index in tracked(range(count), "drawing", count):
        random = np.random.default_rng((seed, index))
        label = index % 2
        with atomic_path(folder / LABELS[label] / f"phantom{index:05d}.png") as path:
            size = int(random.integers(130, 170)), int(random.integers(150, 200))
            draw_phantom(bool(label), random, *size).save(path, "PNG")
    done.write_text("Drawn phantoms, not radiographs of patients.\n", encoding="utf-8")
    return folder
