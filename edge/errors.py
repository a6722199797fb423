"""The one tree of errors.

    OsteoliteError                exit code 1
    +-- UsageError                exit code 2: the call was wrong
    |   +-- DatasetError          the labelled data cannot be used as given
    |   +-- MissingExtra          an optional part of the package is not installed
    |   +-- DelegateUnavailable   the delegate asked for cannot run the model on this device
    +-- Refusal                   exit code 3: nothing broke, but the result must not be used
    |   +-- GateRefusal           a converted model lost more than the limits allow
    |   +-- AuditRefusal          the data's own split leaks, so that figures on it would mislead
    |   +-- Regression            a benchmark is slower than another by more than the limit
    +-- DeviceError               exit code 1: a device that measures cannot be reached, or failed in the middle
    +-- InputError                exit code 1: this input failed, others may not
        +-- ImageError
        |   +-- UnreadableImage   no image, or a damaged one
        |   +-- UnsupportedImage  an image, but no radiograph, or without defined grey values
        |   +-- ImageTooLarge     over the limit of bytes or pixels
        |   +-- ImageTooSlow      over the limit of seconds to decode it in
        +-- ModelFileError        no model file of ours, or a damaged one
            +-- UndescribedModel  a TFLite model that nothing describes

A message says what was wrong, what is allowed, and what to do, in one line.
"""


class OsteoliteError(Exception):
    """Root of every error this package raises on purpose."""

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
