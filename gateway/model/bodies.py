"""What bytes on their way look like, and the empty mapping that records default to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Protocol, runtime_checkable

NOTHING: Mapping[str, str] = MappingProxyType({})


def no_pairs() -> Mapping[str, str]:
    """NOTHING, for dataclass fields: a default must be hashable, and Python 3.11's mapping proxy is not."""
    return NOTHING


@runtime_checkable
class Body(Protocol):
    """Bytes on their way, read once: ``async for`` gives chunks of 1 byte to 1 MiB.

    ``size`` is the number of bytes to come, or None where only the end tells. ``close()`` gives back whatever
    the body holds (socket, file, slot); it is safe before the first read, after the end, after cancel, and twice.
    """

    size: int | None

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


class Region(Protocol):
    """An open stretch of a file: ``length`` bytes at ``offset`` of descriptor ``fd``, until ``close()``."""

    fd: int
    offset: int
    length: int

    def close(self) -> None: ...


Stretch = bytes | memoryview | Region


@runtime_checkable
class Stretched(Protocol):
    """A body that can also give what nobody has to look at: views of a buffer, and open regions instead of bytes.

    A view holds until the next stretch is asked for; whoever takes a region closes it.
    """

    def stretches(self) -> AsyncIterator[Stretch]: ...
