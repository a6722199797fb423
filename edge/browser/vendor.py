"""Fetch LiteRT.js from npm into edge/browser/third_party/litertjs: `make litertjs`, with npm on the PATH.

The result is committed, so that installing and using the package needs no npm.
"""

import base64
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from ..atomic import write_json

FOLDER = Path(__file__).parent / "third_party" / "litertjs"
VERSION = "2.5.3"
INTEGRITY = {  # SHA-512 as published by npm
    "@litertjs/core": "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    "@litertjs/wasm-utils": "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
}
BUILDS = ("compat", "threaded", "jspi")


def fetch_package(package: str) -> tarfile.TarFile:
    """Fetch a package with npm and check its integrity."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is not installed; install Node.js to fetch LiteRT.js")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", "--pack-destination", folder, f"{package}@{VERSION}"]
        subprocess.run(command, check=True, timeout=300)
        (path,) = Path(folder).iterdir()
        content = path.read_bytes()
    found = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != INTEGRITY[package]:
        raise SystemExit(f"{package} {VERSION} has integrity {found}, not {INTEGRITY[package]}; check what changed")
    return tarfile.open(fileobj=io.BytesIO(content))


def read_member(archive: tarfile.TarFile, name: str) -> bytes:
    """Read a file of the package."""
    stream = archive.extractfile(f"package/{name}")
    assert stream is not None
    return stream.read()


def without_source_map(script: bytes) -> bytes:
    """Remove the line that names the source map, which is not included."""
    return b"".join(line for line in script.splitlines(keepends=True) if not line.startswith(b"//# sourceMappingURL="))


def contents() -> dict[str, bytes]:
    """The files by name."""
    core, utils = (fetch_package(package) for package in INTEGRITY)
    index, import_name = without_source_map(read_member(core, "dist/index.js")), b'from "@litertjs/wasm-utils"'
    assert index.count(import_name) == 1
    files = {
        "index.js": index.replace(import_name, b'from "./wasm-utils.js"'),
        "wasm-utils.js": without_source_map(read_member(utils, "dist/index.js")),
    }
    for build in BUILDS:
        name = f"litert_wasm_{build}_internal"
        files[f"{name}.js"] = read_member(core, f"wasm/{name}.js")
        files[f"{name}.wasm.gz"] = gzip.compress(read_member(core, f"wasm/{name}.wasm"), 9, mtime=0)
    return files


def main() -> None:
    files = contents()
    for old in FOLDER.iterdir():
        if old.name != "LICENSE":
            old.unlink()
    for name, content in files.items():
        (FOLDER / name).write_bytes(content)
    listed = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    about = {
        "name": "@litertjs/core",
        "version": VERSION,
        "licence": "Apache-2.0",
        "integrity": {name: f"sha512-{digest}" for name, digest in INTEGRITY.items()},
        "sha256": listed,
    }
    write_json(FOLDER / "litertjs.json", about)
    print(json.dumps({name: len(content) for name, content in files.items()}, indent=1))


if __name__ == "__main__":
    main()
