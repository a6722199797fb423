"""The radiograph and its heatmap as self-contained HTML."""

import base64
import io
from html import escape

from PIL import Image

from osteolite.edge.prediction.heatmap import OPACITY, colours, content_map, layer
from osteolite.edge.prediction.prediction import Prediction
from osteolite.edge.preprocess import PreprocessingSpec

_HEAT_SIDE = 384  # maximum side of the heatmap layer, pixels; the map itself has about a dozen cells a side
_STOPS = 9  # number of colour stops in the legend
_NO_MAP = "This model gives no heatmap; only networks with a linear head on averaged features do."
_EMPTY_MAP = "The heatmap is empty: the model found no evidence for a fracture in this image."


def radiograph_uri(radiograph: Image.Image) -> str:
    """A grey image as a JPEG data URI."""
    return _uri(radiograph, "JPEG", quality=85)


def heat_uri(prediction: Prediction, spec: PreprocessingSpec, size: tuple[int, int], side: int = _HEAT_SIDE) -> str:
    """The heatmap layer as a PNG data URI; "" when the model gives no map or the map is empty.

    Args:
        prediction: the prediction for the radiograph.
        spec: preprocessing of the fracture model that gave the prediction.
        size: (width, height) of the radiograph; only the aspect ratio matters.
        side: maximum side of the layer, pixels.
    """
    if prediction.activation_map is None:
        return ""
    heat = content_map(prediction.activation_map, spec, *size)
    if heat.max() <= 0:
        return ""
    coloured = layer(heat)
    coloured.thumbnail((side, side), Image.Resampling.BILINEAR)
    return _uri(coloured, "PNG")


def figure(prediction: Prediction, spec: PreprocessingSpec, radiograph: Image.Image) -> str:
    """The radiograph under its heatmap, with an opacity slider and a colour legend."""
    width, height = radiograph.size
    heat = heat_uri(prediction, spec, radiograph.size)
    over = f'<img class="osteo-heat" src="{heat}" alt="">' if heat else ""
    alternative = "The radiograph as read" + (", with the heatmap over it" if heat else "")
    without = "" if heat else f"<p>{_NO_MAP if prediction.activation_map is None else _EMPTY_MAP}</p>"
    return (
        f'<figure class="osteo-figure"><div class="osteo-layers" style="--ratio:{width / height:.4f}">'
        f'<img src="{radiograph_uri(radiograph)}" width="{width}" height="{height}" alt="{escape(alternative)}">{over}'
        f"</div><figcaption><p>As read, in 8-bit grey</p>{_opacity() if heat else without}</figcaption></figure>"
    )


def _opacity() -> str:
    return (
        '<label class="osteo-slider"><span>Heatmap opacity</span>'
        '<input type="range" class="osteo-opacity" min="0" max="100" value="100" aria-valuetext="100 %"></label>'
        f'<div class="osteo-legend"><span>weak</span><i style="background:{_gradient()}"></i><span>strong</span></div>'
        "<p>Where in this image the evidence for a fracture lies, not how strong it is.</p>"
    )


def _gradient() -> str:
    places = [round(255 * stop / (_STOPS - 1)) for stop in range(_STOPS)]
    stops = ",".join(f"rgb({r} {g} {b} / {OPACITY * n / 255:.2f})" for n in places for r, g, b in [colours()[n]])
    return f"linear-gradient(90deg,{stops}),#000"


def _uri(image: Image.Image, image_format: str, **options: int) -> str:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return f"data:image/{image_format.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
