"""The shortest program from a JPEG file to a logit: numpy, Pillow and LiteRT, without any checks.

`python minimal.py IMAGE MODEL THREADS [reduced]` prints the logit of an image. The model must take RGB from -1 to 1
with black bars. Osteolite's runtime is compared with this program, so it imports nothing of Osteolite. With
`reduced` it decodes JPEGs at a lower scale, as Osteolite does.
"""

import sys
from typing import Any

import numpy as np
from PIL import Image

Tensor = np.ndarray[Any, np.dtype[np.float32]]


def fitted(path: str, width: int, height: int, reduced: bool = False) -> Image.Image:
    """Read an image as RGB, resize it to fit and centre it on black."""
    with Image.open(path) as image:
        if reduced:
            image.draft("L", (2 * width, 2 * height))
        colour = image.convert("RGB")
    ratio = min(width / colour.width, height / colour.height)
    colour = colour.resize((round(colour.width * ratio), round(colour.height * ratio)), Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", (width, height))
    canvas.paste(colour, ((width - colour.width) // 2, (height - colour.height) // 2))
    return canvas


def tensor_of(image: Image.Image) -> Tensor:
    """The image as float32 of shape (1, height, width, 3), from -1 to 1."""
    return (np.asarray(image, np.float32) / np.float32(127.5) - np.float32(1))[None]


def open_interpreter(model: str, threads: int) -> Any:
    # Imported here because peers with a runtime of their own must not load this one too.
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model, num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def logit(interpreter: Any, tensor: Tensor) -> float:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tensor)
    interpreter.invoke()
    return float(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0, 0])


def main(path: str, model: str, threads: int, reduced: bool) -> None:
    interpreter = open_interpreter(model, threads)
    _, height, width, _ = interpreter.get_input_details()[0]["shape"]
    print(logit(interpreter, tensor_of(fitted(path, width, height, reduced))))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), "reduced" in sys.argv[4:])
