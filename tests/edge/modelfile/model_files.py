"""A flatbuffer of no network, and model files as another tool might write them."""

import struct
import zipfile
from pathlib import Path

FLATBUFFER = struct.pack("<I4s", 8, b"TFL3") + bytes(range(256))


def rewrite(path: Path, text: str | bytes, flatbuffer: bytes = FLATBUFFER) -> Path:
    """Write a model file with a text as its description, as another tool might do."""
    path.write_bytes(flatbuffer)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("osteolite.json", text)
    return path
