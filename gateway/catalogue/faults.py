"""What can be wrong with a catalogue, in words of S3 for a client and in one sentence for the operator."""

from __future__ import annotations

from collections.abc import Callable

import apsw
from twisted.logger import Logger

from gateway.errors import S3Error

log = Logger()

_PASSING = (apsw.BusyError, apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError)
_MALFORMED = (apsw.CorruptError, apsw.NotADBError)


class CatalogueFault(Exception):
    """The catalogue cannot be opened or used; the text tells the operator why."""


class CatalogueForgot(CatalogueFault):
    """The catalogue lacks changes that it had committed: an old copy, or a log that lost its end."""


class CatalogueDamaged(CatalogueFault):
    """The catalogue is not what was written."""


def untold(why: str) -> None:
    """Nobody else has to know."""


class Condition:
    """Whether what the catalogue says is to be believed, and whether it takes changes.

    ``doubt``: why not, for the rest of this process's life; then nothing is changed, and nothing is reaped.
    ``trouble``: why the last change failed, "" after one that did not. ``suspected``: the next change must be preceded
    by a look at every page. ``tell`` hears the first doubt, on whatever thread met it.
    """

    def __init__(self) -> None:
        self.tell: Callable[[str], None] = untold
        self.doubt = ""
        self.trouble = ""
        self.suspected = False

    @property
    def works(self) -> bool:
        """Whether changes are possible, as far as is known."""
        return not (self.doubt or self.trouble)

    def met(self, fault: BaseException | None) -> None:
        """A read or a change failed."""
        self.trouble = f"{type(fault).__name__}: {fault}"
        if is_suspicious(fault):
            self.suspected = True
        if isinstance(fault, (CatalogueForgot, CatalogueDamaged)):
            self.doubted(f"the catalogue is damaged: {fault}")

    def doubted(self, why: str) -> None:
        """Only the first reason counts, and is told."""
        if not self.doubt:
            self.doubt = why
            log.critical(
                "{why}: nothing is changed or reaped until it is resolved (gateway check, gateway restore)", why=why
            )
            self.tell(why)


def is_suspicious(fault: BaseException | None) -> bool:
    """Whether something written may be gone or changed. It may also only not have been readable for a moment: SQLite
    calls a page malformed that the disk refused to read."""
    return isinstance(fault, (apsw.IOError, *_MALFORMED))


def refusal_of(fault: BaseException) -> S3Error | None:
    """What a client is told of a fault of the disk; None for anything else."""
    if isinstance(fault, apsw.FullError):
        code = "InsufficientStorage"
    elif isinstance(fault, (*_PASSING, *_MALFORMED)):
        code = "ServiceUnavailable"
    else:
        return None
    refusal = S3Error(code, cause=f"catalogue: {type(fault).__name__}: {fault}")
    refusal.__cause__ = fault
    return refusal
