"""Draw boxes, points and captions on pictures."""

from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..data.boxes import Box
from ..metrics.pointing_game import Point

_MARK = "#56b4e9"  # sky blue of Okabe and Ito: visible on grey and on the colours of the map
_LEAST_TEXT = 11  # smallest font size, pixels

Array = np.ndarray[Any, Any]


def mark(picture: Image.Image, boxes: tuple[Box, ...], point: Point | None) -> None:
    """Draw boxes, and a cross at the point, into the picture."""
    draw, (width, height) = ImageDraw.Draw(picture), picture.size
    line = max(1, min(width, height) // 200)
    for box in boxes:
        corners = (box.left * width, box.top * height, box.right * width, box.bottom * height)
        draw.rectangle(corners, outline=_MARK, width=line)
    if point is not None:
        x, y, arm = point[0] * width, point[1] * height, 6 * line
        draw.line((x - arm, y, x + arm, y), fill=_MARK, width=line)
        draw.line((x, y - arm, x, y + arm), fill=_MARK, width=line)


def add_caption(picture: Image.Image, lines: list[str]) -> Image.Image:
    """Add lines of text below the picture. A picture narrower than its text is placed at the left."""
    longest = max(lines, key=len)
    font = _font(picture.width // 30)
    if (needed := font.getlength(longest)) > picture.width:
        font = _font(int(font.size * picture.width / needed))
    pitch = round(1.4 * font.size)
    width = max(picture.width, round(font.getlength(longest)) + 4)
    canvas = Image.new("RGB", (width, picture.height + pitch * len(lines) + pitch // 2), "white")
    canvas.paste(picture, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        draw.text((2, picture.height + pitch // 4 + number * pitch), line, fill="black", font=font)
    return canvas


def _font(size: int) -> Any:
    return ImageFont.load_default(max(_LEAST_TEXT, size))
