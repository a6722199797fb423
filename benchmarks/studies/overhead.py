"""The overhead of Osteolite's runtime over the interpreter that it uses."""

from typing import Any

from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.inference.opening import open_session
from osteolite.edge.preprocess import fit, grey_levels, preprocess

from ..harness.minimal import open_interpreter
from ..harness.peers import Setup
from .turns import interleaved, paired, times


def measure_overhead(setup: Setup, images: list[str], rounds: int) -> dict[str, Any]:
    """Time the runtime's call, from grey pixels to outputs, against `invoke()` of a bare interpreter.

    Returns:
        {"bare", "runtime": {"p50", "p90"} in milliseconds, "added_ms", "ratio": {"median", "low", "high"} of the
        pairs}.

    Raises:
        ImageError: an image cannot be read.
        ModelFileError: the model cannot be loaded.
    """
    spec = setup.description.preprocessing
    levels = grey_levels(spec)
    pixels = [fit(read_radiograph(image, spec), spec) for image in images]
    session, bare = open_session(setup.model, setup.threads), open_interpreter(setup.model, setup.threads)
    bare.set_tensor(bare.get_input_details()[0]["index"], preprocess(read_radiograph(images[0], spec), spec))
    spent = interleaved(
        {"bare": lambda _: bare.invoke(), "runtime": lambda one: session.run_pixels(one, levels)}, pixels, rounds
    )
    return {
        **{name: times(found) for name, found in spent.items()},
        "added_ms": paired(spent["runtime"] - spent["bare"]),
        "ratio": paired(spent["runtime"] / spent["bare"]),
    }
