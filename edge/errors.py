"""The exceptions of the package.

    OsteoliteError                exit code 1
    +-- UsageError                exit code 2: the call was wrong
    |   +-- DatasetError          the labelled data cannot be used as given
    |   +-- MissingExtra          an optional dependency is not installed
    |   +-- DelegateUnavailable   the requested delegate cannot run the model on this device
    +-- Refusal                   exit code 3: nothing failed, but the result must not be used
    |   +-- GateRefusal           a converted model lost more accuracy than the limits allow
    |   +-- AuditRefusal          the data's own split leaks, so metrics on it would mislead
    |   +-- Regression            a benchmark is slower than another by more than the limit
    +-- DeviceError               exit code 1: a benchmark device cannot be reached, or failed during a run
    +-- InputError                exit code 1: this input failed; others may succeed
        +-- ImageError
        |   +-- UnreadableImage   not an image, or a damaged one
        |   +-- UnsupportedImage  an image that is not a radiograph, or has no defined grey values
        |   +-- ImageTooLarge     over the limit of bytes or pixels
        |   +-- ImageTooSlow      over the limit of decoding time
        +-- ModelFileError        not an Osteolite model file, or a damaged one
            +-- UndescribedModel  a TFLite model without osteolite.json

A message says in one line what was wrong, what is allowed, and what to do.
"""


class OsteoliteError(Exception):
    """Base class of every error that the package raises on purpose."""

    exit_code = 1


class UsageError(OsteoliteError):
    exit_code = 2


class DatasetError(UsageError):
    pass


class MissingExtra(UsageError):
    pass


class DelegateUnavailable(UsageError):
    pass


class Refusal(OsteoliteError):
    exit_code = 3


class GateRefusal(Refusal):
    pass


class AuditRefusal(Refusal):
    pass


class Regression(Refusal):
    pass


class DeviceError(OsteoliteError):
    pass


class InputError(OsteoliteError):
    pass


class ImageError(InputError):
    pass


class UnreadableImage(ImageError):
    pass


class UnsupportedImage(ImageError):
    pass


class ImageTooLarge(ImageError):
    pass


class ImageTooSlow(ImageError):
    pass


class ModelFileError(InputError):
    pass


class UndescribedModel(ModelFileError):
    pass
