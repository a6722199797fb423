"""The models that ship with the package, by name."""

from pathlib import Path

from ..errors import ModelFileError, UsageError

SHIPPED = {name: f"osteolite_{name}_int8.tflite" for name in ("base", "small", "tiny")}
DEFAULT = "base"


def shipped_model(name: str = DEFAULT) -> Path:
    """Return the path of a model that ships with the package.

    Args:
        name: one of `SHIPPED`.

    Raises:
        UsageError: there is no shipped model of that name.
        ModelFileError: this build does not contain the file.

    >>> shipped_model().name
    'osteolite_base_int8.tflite'
    """
    if name not in SHIPPED:
        raise UsageError(f"no shipped model {name!r}; allowed are {', '.join(SHIPPED)}")
    path = Path(__file__).parents[1] / "models" / SHIPPED[name]
    if not path.is_file():
        raise ModelFileError(
            f"this build contains no model {name!r}; give a file, with --model FILE or FractureClassifier(FILE)"
        )
    return path
