"""The edge runtime in a browser: LiteRT.js, and this package in JavaScript.

A page made of these files needs no Node and only a static file server.
"""

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
_FOLDERS = ("js", "third_party", "bench")  # needed by a page

# Content-Security-Policy of a page: run its own files and reach no other server. Browsers apply `frame-ancestors` only
# from a header, not from a <meta>.
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
    """All files of this package that a page needs, by their relative path in the page's folder.

    Write `constants()` as `constants.json` beside these folders.
    """
    paths = (path for name in _FOLDERS for path in sorted((_FOLDER / name).rglob("*")))
    return {path.relative_to(_FOLDER).as_posix(): path for path in paths if path.is_file()}


def runtime_name() -> str:
    """Package name and version of the LiteRT.js in this folder."""
    about = json.loads((_FOLDER / "third_party" / "litertjs" / "litertjs.json").read_text("utf-8"))
    return f"{about['name']} {about['version']}"


def constants() -> dict[str, Any]:
    """The constants that JavaScript shares with Python, ready for JSON."""
    from ..prediction.heatmap import OPACITY, colours
    from ..prediction.image_checks import COLOUR_LIMIT, ENLARGED_LIMIT, FLAT, TEXTS

    return {
        "heatmap": {"colours": colours().tolist(), "opacity": OPACITY},
        "image_checks": {"texts": TEXTS, "flat": FLAT, "enlarged_limit": ENLARGED_LIMIT, "colour_limit": COLOUR_LIMIT},
    }
