"""Makes edge/browser/third_party/litertjs of LiteRT.js as npm has it: `make litertjs`, with npm on the PATH.

Only this needs npm. What it makes is committed, so that nobody who installs or uses the package needs it.
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
INTEGRITY = {  # SHA-512, as npm tells it
    "@litertjs/core": "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    "@litertjs/wasm-utils": "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
}
BUILDS = ("compat", "threaded", "jspi")


def packed(package: str) -> tarfile.TarFile:
    """What npm has of a package, if it is what it was when this was written."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is not installed; it fetches LiteRT.js")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", "--pack-destination", folder, f"{package}@{VERSION}"]
        subprocess.run(command, check=True, timeout=300)
        (path,) = Path(folder).iterdir()
        content = path.read_bytes()
    found = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != INTEGRITY[package]:
        raise SystemExit(f"{package} {VERSION} has integrity {found}, not {INTEGRITY[package]}; look at what changed")
    return tarfile.open(fileobj=io.BytesIO(content))


def member(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(f"package/{name}")
    assert stream is not None
    return stream.read()


def without_map(script: bytes) -> bytes:
    """A script without the line that names its source map, which is not kept."""
    return b"".join(line for line in script.splitlines(keepends=True) if not line.startswith(b"//# sourceMappingURL="))


def contents() -> dict[str, bytes]:
    """The files, by name."""
    core, utils = (packed(package) for package in INTEGRITY)
    index, bare = without_map(member(core, "dist/index.js")), b'from "@litertjs/wasm-utils"'
    assert index.count(bare) == 1
    found = {
        "index.js": index.replace(bare, b'from "./wasm-utils.js"'),
        "wasm-utils.js": without_map(member(utils, "dist/index.js")),
    }
    for build in BUILDS:
        name = f"litert_wasm_{build}_internal"
        found[f"{name}.js"] = member(core, f"wasm/{name}.js")
        found[f"{name}.wasm.gz"] = gzip.compress(member(core, f"wasm/{name}.wasm"), 9, mtime=0)
    return found


def main() -> None:
    found = contents()
    for old in FOLDER.iterdir():
        if old.name != "LICENSE":
            old.unlink()
    for name, content in found.items():
        (FOLDER / name).write_bytes(content)
    listed = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(found.items())}
    about = {
        "name": "@litertjs/core",
        "version": VERSION,
        "licence": "Apache-2.0",
        "integrity": {name: f"sha512-{digest}" for name, digest in INTEGRITY.items()},
        "sha256": listed,
    }
    write_json(FOLDER / "litertjs.json", about)
    print(json.dumps({name: len(content) for name, content in found.items()}, indent=1))


if __name__ == "__main__":
    main()
