"""What the front door allows, and what it counted."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.model.record import record

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes are bytes, times are seconds; deadlines are checked every ``sweep_seconds``.

    ``head_seconds``: from the connection, or from the first byte of a later request, to the end of the head.
    ``body_bytes``: S3's 5 GiB and room for aws-chunked framing with its smallest chunks (8 KiB, 85 bytes each).
    ``body_floor_*``: a client whose body is awaited sends at least so many bytes in so many seconds.
    ``stall_seconds``: a client that takes no byte of its reply for so long is cut off.
    ``linger_*``: how much, and for how long, is read and dropped after a reply that ends the connection.
    ``connections_per_peer`` is no lower by default: behind a proxy all clients share one address.
    """

    head_bytes: int = 16 * KIB
    headers: int = 500
    head_seconds: float = 30.0
    idle_seconds: float = 75.0
    body_bytes: int = 5 * GIB + 64 * MIB
    body_waiting_bytes: int = 256 * KIB
    body_floor_bytes: int = KIB
    body_floor_seconds: float = 30.0
    stall_seconds: float = 60.0
    linger_bytes: int = MIB
    linger_seconds: float = 2.0
    connections: int = 10_240
    connections_per_peer: int = 10_240
    sweep_seconds: float = 1.0


@record(frozen=True, slots=True)
class Traffic:
    """What one call cost. ``received`` and ``sent`` are bytes on the wire (above TLS), heads included.

    ``first_byte``: seconds from the complete head of the call to the first byte of its reply.
    ``whole``: the reply went out to its end.
    """

    received: int
    sent: int
    seconds: float
    first_byte: float
    whole: bool
