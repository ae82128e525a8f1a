"""What a service answered, and what an answer that nobody expected means."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Protocol

from gateway.errors import BackendBusy, BackendDenied, BackendDown, BackendError, BackendFull
from gateway.model import Body

_SKEW = 120.0  # seconds by which clocks may differ without a word; services take five to fifteen minutes


class Unreached(BackendDown):
    """The service never got the request."""


class Incoming(Body, Protocol):
    """A reply's body; ``fail`` makes its reader hear an error and cuts the connection."""

    def fail(self, fault: BackendError) -> None: ...

    def when_closed(self, farewell: Callable[[], None]) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """``headers`` have lower-case names; several of one name are joined with commas.

    ``body`` is read and closed by whoever asked for it (``Service.stream``). It has nothing left where the document was
    read into ``content`` already (``Service.ask``).
    """

    status: int
    headers: Mapping[str, str]
    body: Incoming
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that was not expected. ``content`` is the beginning of its document, at most 1 MiB."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    content: bytes

    def __str__(self) -> str:
        said = " ".join(self.content[:300].decode("ascii", "replace").split())
        return f"{self.method} {self.path} was answered with {self.status}: {said or 'no explanation'}{self.clock}"

    @property
    def clock(self) -> str:
        """Where we are refused and the service's clock is another one, that is the likely reason; else nothing."""
        if self.status not in (400, 401, 403):
            return ""
        try:
            ahead = time.time() - parsedate_to_datetime(self.headers.get("date", "")).timestamp()
        except (ValueError, OverflowError):
            return ""
        if abs(ahead) < _SKEW:
            return ""
        return (
            f" (this machine's clock is {abs(ahead) / 60:.0f} minutes {'ahead of' if ahead > 0 else 'behind'} theirs)"
        )


Judge = Callable[[Refusal], BackendError]


def judge(refusal: Refusal) -> BackendError:
    """The error that a status means where nothing more is known. A plugin looks at its document first."""
    status = refusal.status
    after = retry_after(refusal.headers)
    if status in (401, 403, 407):
        return BackendDenied(str(refusal))
    if status == 429 or (status == 503 and (after is not None or b"SlowDown" in refusal.content)):
        return BackendBusy(str(refusal), after)
    if status in (413, 507):
        return BackendFull(str(refusal))
    if 300 <= status < 400:
        where = refusal.headers.get("location", "nowhere")
        return BackendDown(f"{refusal}; redirects are not followed (to {where[:200]!r})")
    return BackendDown(str(refusal))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the service wants us to stay away (RFC 9110, 10.2.3), None where it does not say."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
