"""The pixel cache: each file is decoded once, by the code that runs on the device, and kept as fitted pixels."""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from osteolite.edge.atomic import atomic_path, write_json
from osteolite.edge.errors import DatasetError, ImageError
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.preprocess import PreprocessingSpec, fit

from ..console import console, tracked
from .catalogue import Catalogue, Row

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
DISC = 32  # side of the squares used to find duplicates, pixels
_FORMAT = 3  # version of the cache files


@dataclass(frozen=True)
class FileFacts:
    """Properties of a file before preprocessing."""

    sha256: str
    bytes: int  # file size
    width: int  # pixels, as stored
    height: int  # pixels, as stored
    mode: str  # Pillow's name of the pixel format


@dataclass(frozen=True)
class Images:
    """The readable images of a catalogue."""

    catalogue: Catalogue  # the readable images only
    pixels: Pixels  # (images, height, width), fitted to the spec; a read-only memory map
    squares: Pixels  # (images, 2, DISC, DISC): the largest centred square; the whole image squeezed to a square
    facts: tuple[FileFacts, ...]  # by image
    unreadable: dict[str, str]  # reason by file


@dataclass(frozen=True)
class _Decoded:
    facts: FileFacts
    pixels: Pixels
    squares: Pixels


def read_images(catalogue: Catalogue, spec: PreprocessingSpec, folder: Path) -> Images:
    """Decode and fit every image of the catalogue, or load them from the cache.

    Args:
        catalogue: the images to read. A file that occurs several times is read once.
        spec: the size and aspect to fit the images to.
        folder: the cache folder. It is rebuilt when a file, its modification time or the spec has changed.

    Raises:
        DatasetError: no image could be read.
    """
    listing = folder / "images.json"
    fingerprint = _fingerprint(catalogue, spec)
    found = _cached(listing, fingerprint)
    if found is None:
        found = {"fingerprint": fingerprint, **_build(catalogue, spec, folder)}
        write_json(listing, found)
    unreadable = found["unreadable"]
    kept = catalogue.with_rows(row for row in catalogue.rows if row.file not in unreadable)
    if not kept.rows:
        raise DatasetError(
            f"none of the {len(catalogue.rows)} images in {catalogue.root} can be read; check the folder"
        )
    for file, reason in unreadable.items():
        console.print(f"left out, unreadable: {file}: {reason}")
    facts = tuple(FileFacts(**found["facts"][row.file]) for row in kept.rows)
    pixels, squares = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("pixels", "squares"))
    return Images(kept, pixels[: len(kept.rows)], squares[: len(kept.rows)], facts, unreadable)


def _fingerprint(catalogue: Catalogue, spec: PreprocessingSpec) -> str:
    fitted = {name: getattr(spec, name) for name in ("width", "height", "aspect", "interpolation")}
    digest = hashlib.sha256(json.dumps([_FORMAT, fitted], sort_keys=True).encode())
    for row in catalogue.rows:
        try:
            status = catalogue.path(row).stat()
            found = f"{status.st_size}\0{status.st_mtime_ns}"
        except OSError:  # the decoder reports the reason
            found = "missing"
        digest.update(f"{row.file}\0{found}\n".encode())
    return digest.hexdigest()


def _cached(listing: Path, fingerprint: str) -> dict[str, Any] | None:
    try:
        found = json.loads(listing.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if found.get("fingerprint") == fingerprint else None


def _build(catalogue: Catalogue, spec: PreprocessingSpec, folder: Path) -> dict[str, Any]:
    unreadable: dict[str, str] = {}
    facts: dict[str, Any] = {}
    places: dict[str, int] = {}
    count, total = 0, len(catalogue.rows)
    with atomic_path(folder / "pixels.npy") as pixels_path, atomic_path(folder / "squares.npy") as squares_path:
        pixels = np.lib.format.open_memmap(
            pixels_path, mode="w+", dtype=np.uint8, shape=(total, spec.height, spec.width)
        )
        squares = np.lib.format.open_memmap(squares_path, mode="w+", dtype=np.uint8, shape=(total, 2, DISC, DISC))
        for row, result in tracked(_decoded(catalogue, spec), "reading", total):
            if isinstance(result, _Decoded):
                pixels[count], squares[count] = result.pixels, result.squares
                facts[row.file], places[row.file] = asdict(result.facts), count
            elif row.file in places:  # the file has occurred before
                pixels[count], squares[count] = pixels[places[row.file]], squares[places[row.file]]
            else:
                unreadable[row.file] = result or unreadable[row.file]
                continue
            count += 1
        pixels.flush()
        squares.flush()
    return {"unreadable": unreadable, "facts": facts}


def _decoded(catalogue: Catalogue, spec: PreprocessingSpec) -> Iterator[tuple[Row, _Decoded | str | None]]:
    """Yield each row with its image, with an error message, or with None if an earlier row has the same file."""
    first = {row.file: index for index, row in reversed(list(enumerate(catalogue.rows)))}
    paths = [catalogue.path(row) for index, row in enumerate(catalogue.rows) if first[row.file] == index]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow's decoders release the GIL
        results = pool.map(lambda path: _decode(path, spec), paths)
        for index, row in enumerate(catalogue.rows):
            yield row, next(results) if first[row.file] == index else None


def _decode(path: Path, spec: PreprocessingSpec) -> _Decoded | str:
    try:
        image = read_radiograph(path, spec)
        content = path.read_bytes()  # the reader has checked the size
        with Image.open(io.BytesIO(content)) as header:
            width, height, mode = *header.size, header.mode
    except (ImageError, OSError) as error:
        return str(error)
    facts = FileFacts(hashlib.sha256(content).hexdigest(), len(content), width, height, mode)
    return _Decoded(facts, fit(image, spec), _squares(image))


def _squares(image: Image.Image) -> Pixels:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    boxes = ((left, top, left + side, top + side), (0, 0, *image.size))
    return np.stack([np.asarray(image.resize((DISC, DISC), Image.Resampling.HAMMING, box)) for box in boxes])
