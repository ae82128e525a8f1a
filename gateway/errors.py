"""The few errors that rooms raise, and the one table that turns a backend's into S3's.

A backend raises BackendError's children and never names an S3 code. Core rooms raise S3Error for what the client
shall read. The table at the end is applied in ``gate.py`` only.
"""

from __future__ import annotations


class S3Error(Exception):
    """An answer to the client: an S3 error code, optionally with a message and extra XML elements.

    ``code`` is a row of ``wire/codes.py``, which knows the status and the default message. ``fields`` become
    child elements of ``<Error>`` (for example BucketName, Key, UploadId). ``headers`` are added to the reply.
    ``cause`` is for the operator's log and never leaves the house.
    """

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        fields: dict[str, str] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        cause: str = "",
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.fields = fields or {}
        self.headers = headers
        self.cause = cause


class ClientGone(Exception):
    """The client left, or sent less than it promised, while its body was being read; nobody is there to answer."""


class BackendError(Exception):
    """What a backend may raise. The text is for the operator; the client never sees it."""


class BlobMissing(BackendError):
    """There is no blob of that name."""


class BlobExists(BackendError):
    """``if_absent`` was asked and the name is taken."""


class BlobChanged(BackendError):
    """``expect`` was given and the blob's fingerprint is another one."""


class BackendDenied(BackendError):
    """The storage refused *our* credentials or rights."""


class BackendBusy(BackendError):
    """The storage asks us to slow down; ``after`` is its own wish in seconds, if it had one."""

    def __init__(self, message: str = "", after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class BackendDown(BackendError):
    """No answer, an answer that makes no sense, or the storage's own failure."""


class BackendFull(BackendError):
    """No room left."""


class BackendUnfit(BackendError):
    """The settings do not lead to a usable storage. ``key`` names the setting to blame, ``fix`` what mends it."""

    def __init__(self, message: str, *, key: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.key = key
        self.fix = fix


def kind_of(error: BackendError) -> str:
    """The name of the error above that this is, whatever a plugin calls its own kinds of it."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == __name__)


# backend error -> (S3 code, seconds for Retry-After). The first row that fits counts.
BACKEND_TO_S3: tuple[tuple[type[BackendError], str], ...] = (
    (BackendBusy, "SlowDown"),
    (BackendFull, "InsufficientStorage"),
    (BackendDown, "ServiceUnavailable"),
    (BackendError, "InternalError"),  # a lost blob or our refused credentials are our fault, never the client's
)


def to_s3(error: BackendError) -> S3Error:
    """The client's view of a backend's error; the operator's view goes into ``cause``."""
    code = next(code for kind, code in BACKEND_TO_S3 if isinstance(error, kind))
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, BackendBusy):
        headers = (("Retry-After", str(max(1, round(error.after or 1)))),)
    return S3Error(code, headers=headers, cause=f"{type(error).__name__}: {error}")
