"""What a request says about who signed it, and how its body is to be read and proved: values, no rules."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from gateway.model.record import record


@record(frozen=True, slots=True)
class Claim:
    """A parsed signature of either version; nothing in it is proved yet.

    ``time``: when it was signed (epoch seconds; V2 in the query does not say, and has 0.0). ``stamp``: the date line
    that is signed (V4: ``yyyyMMddTHHmmssZ``; V2: the Date header, "" beside x-amz-date, or Expires).
    ``expires``: V4 in the query: seconds of life; V2 in the query: the epoch second it ends; None in headers.
    ``day``, ``region``, ``signed_headers``, ``query`` (canonical, without X-Amz-Signature): V4 only.
    ``payload``: V4: the payload line that is signed; V2: x-amz-content-sha256 if it was sent, else "". In a form: its
    policy, which is what is signed there.
    ``token``: a session token, "" where none was sent.
    """

    access_key: str
    scheme: Literal["v4", "v2"]
    place: Literal["header", "query", "form"]
    signature: str = field(repr=False)
    time: float = 0.0
    stamp: str = ""
    expires: int | None = None
    day: str = ""
    region: str = ""
    signed_headers: tuple[str, ...] = ()
    query: str = ""
    payload: str = ""
    token: str = field(default="", repr=False)


@record(frozen=True, slots=True)
class ChunkChain:
    """What it takes to check the signatures of a body's chunks, each of which covers the one before.

    ``key``: the signing key of the day, ``seed``: the signature of the headers.
    """

    access_key: str
    key: bytes = field(repr=False)
    stamp: str
    scope: str
    seed: str = field(repr=False)


@record(frozen=True, slots=True)
class Payload:
    """How the body must be read and proved.

    ``sha256``: lower-case hex that the whole body must have, None where none was promised. ``framed``: the body is
    aws-chunked and holds ``decoded_length`` bytes (x-amz-decoded-content-length). ``chain``: its chunks are signed,
    None: they are not. ``trailers``: lower-case names announced by x-amz-trailer; ``trailer_signed``: a signature
    over them comes last.
    """

    sha256: str | None = None
    framed: bool = False
    decoded_length: int | None = None
    chain: ChunkChain | None = None
    trailers: tuple[str, ...] = ()
    trailer_signed: bool = False
