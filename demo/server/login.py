"""The user name and password of the page."""

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from osteolite.edge.errors import UsageError

VARIABLE = "OSTEOLITE_AUTH"
_FORM = "USER:PASSWORD in one line, neither of them empty"
_MAX_BYTES = 4096  # size of an account file

Account = tuple[str, str]  # user name and password


def read_account(option: str | None, file: str | None, environment: Mapping[str, str] = os.environ) -> Account | None:
    """Read the account that may use the page; None means that everyone who reaches the page may use it.

    Args:
        option: USER:PASSWORD; takes precedence over the environment variable `OSTEOLITE_AUTH`.
        file: a file with USER:PASSWORD; takes precedence too.
        environment: environment variables. An empty `OSTEOLITE_AUTH` is an error, not an open page.

    Raises:
        UsageError: both option and file are given, the file cannot be read, or the form is wrong. No message
            repeats a password.
    """
    if option is not None and file is not None:
        raise UsageError("--auth and --auth-file were both given; leave out one of them")
    if file is not None:
        return _parsed(_read(file), f"the file {file}")
    if option is not None:
        return _parsed(option, "--auth")
    return _parsed(environment[VARIABLE], f"the variable {VARIABLE}") if VARIABLE in environment else None


def account_check(account: Account) -> Callable[[str, str], bool]:
    """Make a function that compares a user name and password with the account in constant time."""
    expected = [_digest(text) for text in account]

    def matches(user: str, password: str) -> bool:
        pairs = zip((user, password), expected, strict=True)
        equal = [hmac.compare_digest(_digest(text), digest) for text, digest in pairs]  # both, in any case
        return all(equal)

    return matches


def _digest(text: str) -> bytes:
    """A digest of fixed length, because a comparison's time reveals the length of its inputs."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _parsed(text: str, where: str) -> Account:
    user, _, password = text.removesuffix("\n").removesuffix("\r").partition(":")
    user = user.strip()  # Gradio strips the name that a visitor types
    if not (user and password):
        raise UsageError(f"{where} has no user name and password; give {_FORM}")
    if not f"{user}{password}".isprintable():
        raise UsageError(f"{where} has several lines or control characters; give {_FORM}")
    return user, password


def _read(file: str) -> str:
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{file}: cannot be read ({reason}); give a file with {_FORM}") from error
    if len(content) > _MAX_BYTES:
        raise UsageError(f"{file}: more than {_MAX_BYTES:,} bytes; give a file with {_FORM}")
    return text
