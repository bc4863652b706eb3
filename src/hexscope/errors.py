"""What can go wrong, as a tree.

::

    HexscopeError                 exit code 3 unless said otherwise
    ├── UsageError                the call itself is wrong                               (exit code 2)
    ├── InputError                the files or values cannot be used
    │   ├── FormatError           bytes that no reader can make sense of
    │   ├── GeometryError         where the pixels lie is missing, contradictory or refused
    │   │   └── UncalibratedError a length was asked of an image that has no spacing
    │   ├── QuantityError         numbers of two kinds were mixed, or cannot become what was asked
    │   │   └── MissingFact       the header lacks a value that a formula needs
    │   └── AmbiguousSeries       a folder holds several series and none was named
    ├── RefusedError              possible, but not to be trusted (an uncertified registration, say)
    └── NoModelError              no model or method fits this image                     (exit code 4)

Every message says what was got, what was wanted and what to do. ``code`` is the entry of the fault
table (`hexscope.core.faults`) where there is one.
"""

from __future__ import annotations


class HexscopeError(Exception):
    """Root of every error that Hexscope raises on purpose."""

    exit_code = 3

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class UsageError(HexscopeError):
    """The call itself is wrong: an unknown name, two options that exclude each other."""

    exit_code = 2


class InputError(HexscopeError):
    """The input cannot be used as it is."""


class FormatError(InputError):
    """The bytes are broken, cut short, or of a kind that no reader knows."""


class GeometryError(InputError):
    """Where the pixels lie is missing, contradictory, or not what the operation needs."""


class UncalibratedError(GeometryError):
    """A length in mm was asked of an image whose file gives no spacing."""


class QuantityError(InputError):
    """Two kinds of numbers were mixed, or a conversion between them does not exist."""


class MissingFact(QuantityError):
    """A formula needs a header value that the file does not carry. No default is assumed."""


class AmbiguousSeries(InputError):
    """A folder holds several series; name one as PATH#NUMBER or PATH#UID."""


class RefusedError(HexscopeError):
    """The result would not deserve trust: say so instead of giving it."""


class NoModelError(HexscopeError):
    """No model or method fits this image."""

    exit_code = 4
