"""What one call cost. The front door, which tells it, stands beside this room: only the shape is known here."""

from __future__ import annotations

from typing import Protocol


class Traffic(Protocol):
    """Bytes on the wire, heads included, and seconds since the complete head; ``whole``: the reply reached its end."""

    @property
    def received(self) -> int: ...

    @property
    def sent(self) -> int: ...

    @property
    def seconds(self) -> float: ...

    @property
    def first_byte(self) -> float: ...

    @property
    def whole(self) -> bool: ...
