"""The files of edge/browser: the runtime from npm, no other host, and a size for phones."""

import gzip
import hashlib
import json
import subprocess
import sys

from osteolite.edge.browser import constants, page_files, runtime_name
from osteolite.edge.modelfile.shipped import shipped_model

VENDORED = "third_party/litertjs/"
_MAX_BYTES = 15_000_000  # size of a page's folder with the shipped model


def test_runtime_has_the_recorded_digests() -> None:
    files = {name.removeprefix(VENDORED): path for name, path in page_files().items() if name.startswith(VENDORED)}
    about = json.loads(files.pop("litertjs.json").read_text())
    assert "Apache License" in files.pop("LICENSE").read_text()
    assert about["sha256"] == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    assert {name: value[:7] for name, value in about["integrity"].items()} == {
        "@litertjs/core": "sha512-",
        "@litertjs/wasm-utils": "sha512-",
    }
    assert runtime_name() == f"@litertjs/core {about['version']}"
    assert about["licence"] == "Apache-2.0"


def test_each_build_is_complete_and_compressed_without_a_date() -> None:
    packed = [path for name, path in page_files().items() if name.endswith(".wasm.gz")]
    assert len(packed) == 3
    for path in packed:
        content = path.read_bytes()
        assert content[4:8] == bytes(4)  # the time in gzip's header
        assert gzip.decompress(content)[:4] == b"\0asm"
        assert path.with_name(path.name.removesuffix(".wasm.gz") + ".js").is_file()


def test_no_file_refers_to_another_server() -> None:
    """Modules are imported neither from another address nor by a bare name."""
    for name, path in page_files().items():
        if path.suffix in (".js", ".html", ".css") and not name.startswith(VENDORED):
            text = path.read_text()
            assert "http://" not in text and "https://" not in text and "//cdn" not in text, name
        if path.suffix == ".js":
            assert "@litertjs/" not in path.read_text(), name


def test_folder_with_the_shipped_model_is_small() -> None:
    assert sum(path.stat().st_size for path in page_files().values()) + shipped_model().stat().st_size < _MAX_BYTES


def test_constants_are_json() -> None:
    values = json.loads(json.dumps(constants(), allow_nan=False))
    assert len(values["heatmap"]["colours"]) == 256 and values["heatmap"]["colours"][0] == [0, 0, 4]
    assert values["image_checks"]["texts"].keys() == {"blank", "small", "coloured", "inverted", "unfamiliar"}


def test_list_of_files_needs_no_pillow() -> None:
    code = "import sys; from osteolite.edge.browser import page_files; page_files(); print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
