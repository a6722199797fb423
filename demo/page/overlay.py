"""The radiograph as it was read, and the heatmap to lay over it, as HTML that needs no other file."""

import base64
import io
from html import escape

from PIL import Image

from osteolite.edge.prediction.heatmap import OPACITY, colours, content_map, layer
from osteolite.edge.prediction.prediction import Prediction
from osteolite.edge.preprocess import PreprocessingSpec

_HEAT_SIDE = 384  # pixels at most; the map itself has a dozen places a side
_STOPS = 9  # of the legend's colours
_NO_MAP = "This model gives no heatmap; only networks with a linear head on averaged features do."
_COLD = "Nothing in the image speaks for a fracture to this model: its heatmap is empty."


def radiograph_uri(radiograph: Image.Image) -> str:
    """A grey image as a data URI of JPEG."""
    return _uri(radiograph, "JPEG", quality=85)


def heat_uri(prediction: Prediction, spec: PreprocessingSpec, size: tuple[int, int], side: int = _HEAT_SIDE) -> str:
    """The colours to lay over the radiograph, as a data URI of PNG; "" for a model without a map, or a cold map.

    Args:
        prediction: of the radiograph.
        spec: of the fracture model that answered.
        size: (width, height) of the radiograph, whose proportions matter here.
        side: of the layer, pixels at most.
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
    """The radiograph under its heatmap, a slider for the heatmap's opacity, and what its colours mean."""
    width, height = radiograph.size
    heat = heat_uri(prediction, spec, radiograph.size)
    over = f'<img class="osteo-heat" src="{heat}" alt="">' if heat else ""
    alternative = "The radiograph as read" + (", with the heatmap over it" if heat else "")
    without = "" if heat else f"<p>{_NO_MAP if prediction.activation_map is None else _COLD}</p>"
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
        "<p>What speaks for a fracture, within this image: where, not how much.</p>"
    )


def _gradient() -> str:
    places = [round(255 * stop / (_STOPS - 1)) for stop in range(_STOPS)]
    stops = ",".join(f"rgb({r} {g} {b} / {OPACITY * n / 255:.2f})" for n in places for r, g, b in [colours()[n]])
    return f"linear-gradient(90deg,{stops}),#000"


def _uri(image: Image.Image, image_format: str, **options: int) -> str:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return f"data:image/{image_format.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
