"""What travels along the line: the call that a client made, and the reply that it gets."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.model.bodies import Body
from gateway.model.record import record


@record(frozen=True, slots=True)
class Call:
    """What a client asked, once its headers are complete; the body is still unread.

    ``path`` and ``query`` are raw (percent-encoded ASCII, as they came; query without the "?"). ``headers`` has
    lower-case names; repeated fields are joined with "," in their order; values are UTF-8 text, trimmed.
    ``id`` is the x-amz-request-id of the reply, ``host_id`` its x-amz-id-2. ``peer`` is the address that connected.
    """

    id: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Body
    peer: str
    secure: bool
    received: float
    host_id: str = ""


@record(frozen=True, slots=True)
class Facts:
    """What the access log and the metrics want to know about a reply."""

    operation: str = "-"
    bucket: str = ""
    key: bytes = b""
    access_key: str = ""
    account: str = ""
    code: str = ""  # the S3 error code, "" for success
    cause: str = ""  # what the operator should know (never sent to the client)


@record(frozen=True, slots=True)
class Reply:
    """What the client gets. ``length`` overrides the Content-Length where no body is sent (HEAD).

    ``close``: the connection ends after this reply. Header names are written as given.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Body = b""
    length: int | None = None
    close: bool = False
    facts: Facts = Facts()
