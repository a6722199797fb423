import numpy as np
from PIL import Image


def draw_texture(random: np.random.Generator) -> Image.Image:
    """Draw smooth noise that is never a near-duplicate. Some phantoms are, as bones in the same position."""
    return Image.fromarray(random.integers(0, 256, (14, 12), np.uint8)).resize((150, 180), Image.Resampling.BICUBIC)
