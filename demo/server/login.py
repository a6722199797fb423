"""User name and password of the page, where it has one."""

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from osteolite.edge.errors import UsageError

VARIABLE = "OSTEOLITE_AUTH"
_FORM = "USER:PASSWORD, neither of them empty, in one line"
_MOST = 4096  # bytes of a file

Account = tuple[str, str]  # user name and password


def account_of(given: str | None, file: str | None, environment: Mapping[str, str] = os.environ) -> Account | None:
    """Who may use the page; None, everyone who reaches it.

    Args:
        given: USER:PASSWORD; it goes before the environment's `OSTEOLITE_AUTH`.
        file: a file that holds it, which also goes before.
        environment: a variable that is set and empty is an error, and no open page.

    Raises:
        UsageError: given twice, a file that cannot be read, or another form. No message repeats a password.
    """
    if given is not None and file is not None:
        raise UsageError("--auth and --auth-file were both given; leave one of them out")
    if file is not None:
        return _parsed(_read(file), f"the file {file}")
    if given is not None:
        return _parsed(given, "--auth")
    return _parsed(environment[VARIABLE], f"the variable {VARIABLE}") if VARIABLE in environment else None


def check(account: Account) -> Callable[[str, str], bool]:
    """Whether name and password are the account's, in the same time for all that are not."""
    expected = [_digest(text) for text in account]

    def matches(user: str, password: str) -> bool:
        found = [hmac.compare_digest(_digest(sent), of) for sent, of in zip((user, password), expected, strict=True)]
        return all(found)

    return matches


def _digest(text: str) -> bytes:
    """Of one length for all texts, as a comparison tells the length of what it compares."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _parsed(text: str, where: str) -> Account:
    user, _, password = text.removesuffix("\n").removesuffix("\r").partition(":")
    user = user.strip()  # as Gradio does with what a person types
    if not (user and password):
        raise UsageError(f"{where} holds no user name and password; give {_FORM}")
    if not f"{user}{password}".isprintable():
        raise UsageError(f"{where} holds several lines or control characters; give {_FORM}")
    return user, password


def _read(file: str) -> str:
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(_MOST + 1)
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UsageError(f"{file}: cannot be read ({reason}); give a file with {_FORM}") from error
    if len(content) > _MOST:
        raise UsageError(f"{file}: more than {_MOST:,} bytes; give a file with {_FORM}")
    return text
