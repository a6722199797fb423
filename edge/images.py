"""Which files of a folder are images."""

import os
from collections.abc import Iterable
from pathlib import Path

from .errors import UsageError
from .radiograph import SUFFIXES


def image_files(paths: Iterable[str]) -> list[str]:
    """Files as given; for a folder, the images in it and below by name, sorted.

    Raises:
        UsageError: a folder without one image.
    """
    found: list[str] = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        inside = sorted(
            os.path.join(folder, name)
            for folder, _, names in os.walk(path)
            for name in names
            if Path(name).suffix.lower() in SUFFIXES
        )
        if not inside:
            raise UsageError(f"{path} holds no image; looked for {', '.join(sorted(SUFFIXES))}")
        found += inside
    return found
