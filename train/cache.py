"""Every image decoded once, through the device's own code, into one array of fitted grey pixels."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.atomic import atomic_path, write_json
from osteolite.edge.errors import DatasetError, ImageError
from osteolite.edge.preprocess import PreprocessingSpec, fit
from osteolite.edge.radiograph import read_radiograph

from .catalogue import Catalogue
from .console import console, tracked

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def fitted_pixels(
    catalogue: Catalogue, spec: PreprocessingSpec, folder: Path
) -> tuple[Catalogue, Pixels, dict[str, str]]:
    """Decode and fit every image of the catalogue, or take them from an earlier call's cache.

    Args:
        catalogue: the images to read.
        spec: what to fit them to.
        folder: where the cache lies; it is rebuilt when a file, its time or the spec has changed.

    Returns:
        The catalogue without the unreadable images, uint8 pixels of shape (images, height, width)
        in its order (a read-only memory map), and the unreadable files with their errors.

    Raises:
        DatasetError: not one image could be read.
    """
    array, listing = folder / "pixels.npy", folder / "pixels.json"
    fingerprint = _fingerprint(catalogue, spec)
    unreadable = _cached(listing, fingerprint)
    if unreadable is None:
        unreadable = _build(catalogue, spec, array)
        write_json(listing, {"fingerprint": fingerprint, "unreadable": unreadable})
    kept = catalogue.with_rows(row for row in catalogue.rows if row.file not in unreadable)
    if not kept.rows:
        raise DatasetError(f"none of the {len(catalogue.rows)} images in {catalogue.root} can be read")
    for file, reason in unreadable.items():
        console.print(f"left out, unreadable: {file}: {reason}")
    return kept, np.load(array, mmap_mode="r"), unreadable


def _fingerprint(catalogue: Catalogue, spec: PreprocessingSpec) -> str:
    digest = hashlib.sha256(json.dumps(spec.to_dict(), sort_keys=True).encode())
    for row in catalogue.rows:
        status = catalogue.path(row).stat()
        digest.update(f"{row.file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _cached(listing: Path, fingerprint: str) -> dict[str, str] | None:
    try:
        found = json.loads(listing.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found["unreadable"] if found.get("fingerprint") == fingerprint else None


def _build(catalogue: Catalogue, spec: PreprocessingSpec, array: Path) -> dict[str, str]:
    def read(path: Path) -> Pixels | str:
        try:
            return fit(read_radiograph(path, spec), spec)
        except ImageError as error:
            return str(error)

    unreadable: dict[str, str] = {}
    count = 0
    with atomic_path(array) as part:
        shape = (len(catalogue.rows), spec.height, spec.width)
        pixels = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow's decoders leave the interpreter's lock
            results = pool.map(read, map(catalogue.path, catalogue.rows))
            for row, result in zip(tracked(catalogue.rows, "reading", len(catalogue.rows)), results, strict=True):
                if isinstance(result, str):
                    unreadable[row.file] = result
                else:
                    pixels[count] = result
                    count += 1
        pixels.flush()
    return unreadable
