"""Cross-compile Pillow for 32-bit ARM, for which the package index has no wheel.

Boards install such a wheel from a package index of their own, which few other machines reach. The build supports JPEG
and PNG, but no format that needs another library.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from .cache import Unavailable
from .debian import call

HEADERS = ("libpython3.11-dev", "libjpeg62-turbo-dev", "zlib1g-dev")  # the compiler has headers for the C library
_MODULES = ("_imaging", "decode", "encode", "map", "display", "outline", "path")


def build_pillow(root: Path, site: Path, version: str) -> None:
    """Compile a version of Pillow against the libraries in `root`, and install it in `site`.

    Raises:
        Unavailable: the source or the compiler cannot be downloaded, or the compiler fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pip = (sys.executable, "-m", "pip")
        call(*pip, "install", "--quiet", "--target", folder / "compiler", "ziglang")
        call(*pip, "download", "--quiet", "--no-deps", "--no-binary=pillow", "--dest", folder, f"pillow=={version}")
        with tarfile.open(next(folder.glob("pillow-*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        source = folder / f"pillow-{version}" / "src"
        (source / "PIL").rename(site / "PIL")
        information = site / f"pillow-{version}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pillow\nVersion: {version}\n")
        _compile(folder, source, root, site / "PIL/_imaging.so", version)


def _compile(folder: Path, source: Path, root: Path, target: Path, version: str) -> None:
    headers, libraries = root / "usr/include", root / "usr/lib/arm-linux-gnueabihf"
    command = [
        *(folder / "compiler/ziglang/zig", "cc", "-target", "arm-linux-gnueabihf.2.36", "-mcpu=cortex_a7"),
        *("-shared", "-fPIC", "-O2", "-w", "-DHAVE_LIBJPEG", "-DHAVE_LIBZ", f'-DPILLOW_VERSION="{version}"'),
        *(f"-I{headers / inside}" for inside in ("", "arm-linux-gnueabihf", "python3.11")),
        *(source / f"{module}.c" for module in _MODULES),
        *sorted((source / "libImaging").glob("*.c")),
        *(libraries / "libjpeg.so.62", root / "lib/arm-linux-gnueabihf/libz.so.1", "-o", target),
    ]
    places = {f"ZIG_{scope}_CACHE_DIR": str(folder / "zig") for scope in ("GLOBAL", "LOCAL")}
    result = subprocess.run(
        [str(part) for part in command], env={**os.environ, **places}, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise Unavailable(f"Pillow cannot be compiled for 32-bit ARM: {result.stderr.strip()[-300:]}")
