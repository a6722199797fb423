"""The edge runtime in a browser: LiteRT.js and the modules that do in JavaScript what this package does.

A page made of these files needs no network, no Node and no server that does more than hand out files.
"""

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
_PARTS = ("js", "third_party", "bench")  # folders that a page needs

# What a page may do: run its own files, and reach no other server. `frame-ancestors` counts in a header alone; a <meta>
# ignores it.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "frame-src 'self'",
        "img-src 'self' blob: data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    )
)


def page_files() -> dict[str, Path]:
    """All files that a page needs of this package, by their relative path in the page's folder.

    `constants.json`, with the content of `constants()`, belongs beside these folders.
    """
    paths = (path for part in _PARTS for path in sorted((_FOLDER / part).rglob("*")))
    return {path.relative_to(_FOLDER).as_posix(): path for path in paths if path.is_file()}


def runtime_name() -> str:
    """The package of the runtime that lies here, and its version."""
    about = json.loads((_FOLDER / "third_party" / "litertjs" / "litertjs.json").read_text("utf-8"))
    return f"{about['name']} {about['version']}"


def constants() -> dict[str, Any]:
    """What JavaScript must not write twice, as JSON has it."""
    from ..prediction.heatmap import OPACITY, colours
    from ..prediction.image_checks import COLOUR_LIMIT, ENLARGED_LIMIT, FLAT, TEXTS

    return {
        "heatmap": {"colours": colours().tolist(), "opacity": OPACITY},
        "doubts": {"texts": TEXTS, "flat": FLAT, "enlarged_limit": ENLARGED_LIMIT, "colour_limit": COLOUR_LIMIT},
    }
