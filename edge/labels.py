"""The two classes, and the folder names that stand for them."""

NORMAL, FRACTURED = "normal", "fractured"
LABELS = (NORMAL, FRACTURED)  # index 1 is the positive class

_FOLDER_NAMES = {
    FRACTURED: {
        "fracture", "fractured", "fractures", "broken", "positive", "abnormal", "1",
    },
    NORMAL: {
        "normal", "nonfractured", "notfractured", "nonfracture", "nofracture", "unfractured",
        "healthy", "intact", "negative", "0",
    },
}  # fmt: skip


def label_of_folder(name: str) -> int | None:
    """Return the class index that a folder name stands for, or None.

    >>> [label_of_folder(n) for n in ("Fractured", "not_fractured", "Non-Fractured", "images")]
    [1, 0, 0, None]
    """
    key = "".join(c for c in name.lower() if c.isalnum())
    for index, label in enumerate(LABELS):
        if key in _FOLDER_NAMES[label]:
            return index
    return None
