"""The catalogue as sealed blobs in a location: written in parts, complete with its index, read back before it counts.

``gatewaysnapshot/<number><random>/00000000 ...`` hold up to 4 MiB of the file each, compressed and sealed, and
``.../index``, written last, says how many there are and what the whole file's SHA-256 is. Each value is sealed for its
own blob's name, so that parts that are missing, swapped or of another snapshot do not open. No lease gives such
names, so the reaper never takes them.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from twisted.internet.threads import deferToThread

from gateway.bodies import BytesBody, contents
from gateway.catalogue.copying import Copied
from gateway.errors import BackendError
from gateway.model import DeleteRequest, GetRequest, ListRequest, PutRequest
from gateway.plugins.location import Location
from gateway.seal import Seal, SealBroken

FOLDER = "gatewaysnapshot"
FORMAT = 1
KEPT = 3  # complete ones in a location, the new one included
_PART = 4 * 1024**2
_LARGEST_INDEX = 64 * 1024
_NUMBER = 12  # hex digits
_ROOM = 4096  # what compressing and sealing may add to a part


class SnapshotBroken(Exception):
    """A snapshot that cannot be read to its end; str() says which and why."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot in a location. ``complete``: it has an index; only reading shows that it is whole."""

    stem: str
    complete: bool

    @property
    def number(self) -> int:
        """How many changes its catalogue had committed: the order, whatever any clock said."""
        return int(self.stem.partition("/")[2][:_NUMBER], 16)


@dataclass(frozen=True, slots=True)
class Index:
    """What a snapshot holds; ``made`` is for people only."""

    copied: Copied
    parts: int
    sha256: str
    made: float


async def list_snapshots(location: Location) -> list[Snapshot]:
    """All that lie in the location, newest first, those that were never finished too."""
    stems: dict[str, bool] = {}
    async for name in _names(location, f"{FOLDER}/"):
        stem, _, last = name.rpartition("/")
        stems[stem] = stems.get(stem, False) or last == "index"
    found = [Snapshot(stem, complete) for stem, complete in stems.items() if _is_stem(stem)]
    return sorted(found, key=lambda each: (each.number, each.stem), reverse=True)


def _is_stem(stem: str) -> bool:
    folder, _, name = stem.partition("/")
    return folder == FOLDER and len(name) > _NUMBER and all(digit in "0123456789abcdef" for digit in name)


async def write_snapshot(location: Location, copy: Path, copied: Copied, seal: Seal, made: float) -> Snapshot:
    """Keep the file as a new snapshot, read it back, then forget older ones but the newest few.

    Raises the storage's errors, and SnapshotBroken where what was written does not come back; then nothing older went.
    """
    earlier = [each for each in await list_snapshots(location) if each.number <= copied.changes]
    snapshot = Snapshot(f"{FOLDER}/{copied.changes:0{_NUMBER}x}{secrets.token_hex(8)}", complete=True)
    try:
        index = await _write(location, snapshot, copy, copied, seal, made)
        await read_snapshot(location, snapshot, seal, lambda plain: None, index)
    except BaseException:
        await _remove(location, snapshot)
        raise
    kept = [each for each in earlier if each.complete][: KEPT - 1]
    for old in earlier:
        if old not in kept:
            await _remove(location, old)
    return snapshot


async def _write(location: Location, snapshot: Snapshot, copy: Path, copied: Copied, seal: Seal, made: float) -> Index:
    largest = min(_PART, (location.capabilities.largest_blob or 2 * _PART) - _ROOM)
    whole, parts = hashlib.sha256(), 0
    with copy.open("rb") as file:
        while True:
            name = part_name(snapshot, parts)
            sealed = await deferToThread(_pack, file, largest, whole, seal, name)
            if not sealed:
                break
            await location.put(PutRequest(name=name, body=BytesBody(sealed), size=len(sealed), if_absent=True))
            parts += 1
    index = Index(copied, parts, whole.hexdigest(), made)
    name = f"{snapshot.stem}/index"
    text = seal.close(json.dumps({"format": FORMAT, **asdict(index)}).encode(), _purpose(name))
    await location.put(PutRequest(name=name, body=BytesBody(text), size=len(text), if_absent=True))
    return index


def part_name(snapshot: Snapshot, number: int) -> str:
    """The blob that holds a part."""
    return f"{snapshot.stem}/{number:08d}"


def _pack(file: BinaryIO, size: int, whole: hashlib._Hash, seal: Seal, name: str) -> bytes:
    plain = file.read(size)
    whole.update(plain)
    return seal.close(zlib.compress(plain), _purpose(name)) if plain else b""


def _purpose(name: str) -> bytes:
    return b"snapshot:" + name.encode()


async def read_index(location: Location, snapshot: Snapshot, seal: Seal) -> Index:
    """Raises SnapshotBroken, and the storage's errors."""
    name = f"{snapshot.stem}/index"
    sealed = await contents(await location.get(GetRequest(name=name, length=_LARGEST_INDEX)))
    try:
        told = json.loads(seal.open(sealed, _purpose(name)))
    except SealBroken as fault:
        raise SnapshotBroken(f"{name}: not sealed by this gateway's key, or damaged") from fault
    if told["format"] != FORMAT:
        raise SnapshotBroken(f"{name}: written by a newer gateway (format {told['format']})")
    return Index(Copied(**told["copied"]), told["parts"], told["sha256"], told["made"])


async def read_snapshot(
    location: Location, snapshot: Snapshot, seal: Seal, take: Callable[[bytes], object], index: Index
) -> None:
    """Give the file to ``take`` (in a thread), stretch by stretch. Raises SnapshotBroken, and what ``take`` raises.

    Only its end shows that the file is whole: use nothing of it before.
    """
    whole, size = hashlib.sha256(), 0
    for number in range(index.parts):
        name = part_name(snapshot, number)
        try:
            sealed = await contents(await location.get(GetRequest(name=name)))
        except BackendError as fault:
            raise SnapshotBroken(f"{name}: {type(fault).__name__}: {fault}") from fault
        size += await deferToThread(_unpack, sealed, seal, name, whole, take)
    if whole.hexdigest() != index.sha256 or size != index.copied.size:
        raise SnapshotBroken(f"{snapshot.stem}: its parts do not make the file that its index tells")


def _unpack(sealed: bytes, seal: Seal, name: str, whole: hashlib._Hash, take: Callable[[bytes], object]) -> int:
    try:
        plain = zlib.decompress(seal.open(sealed, _purpose(name)))
    except (SealBroken, zlib.error) as fault:
        raise SnapshotBroken(f"{name}: not sealed by this gateway's key for this place, or damaged") from fault
    whole.update(plain)
    take(plain)
    return len(plain)


async def _remove(location: Location, snapshot: Snapshot) -> None:
    """The index first: whoever dies on the way leaves an unfinished snapshot, never one that lacks parts."""
    await location.delete(DeleteRequest(name=f"{snapshot.stem}/index"))
    async for name in _names(location, f"{snapshot.stem}/"):
        await location.delete(DeleteRequest(name=name))


async def _names(location: Location, prefix: str) -> AsyncIterator[str]:
    after: str | None = ""
    while after is not None:
        page = await location.list(ListRequest(prefix=prefix, after=after))
        for blob in page.blobs:
            yield blob.name
        after = page.after
