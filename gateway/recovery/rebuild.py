"""A draft of the catalogue is compared with the storage, and what only manifests know is brought back into it.

What is known: a blob that the snapshot does not know was committed after it, or never acknowledged. Of two blobs of
one key the order is known where the one's write began when the other's was over (``catalogue.starts``). What is not
known is listed: a delete leaves nothing in the storage, and the order of two writes at the same time died with the
catalogue.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import DeferredSemaphore, gatherResults

from gateway.bodies import contents
from gateway.catalogue.rebuilding import Candidate, Draft
from gateway.errors import BackendError, BlobMissing
from gateway.model import GetRequest, HeadRequest, ListRequest, NewVersion, Piece
from gateway.operations.manifest import LARGEST, MANIFEST, OWN_BLOB, Manifest, open_beside, open_blob
from gateway.plugins.location import Location
from gateway.plugins.marker import MARKER
from gateway.recovery.report import Item, Report
from gateway.recovery.snapshots import FOLDER
from gateway.seal import Seal, SealBroken
from gateway.streams import Measured, Outflow, Tally
from gateway.wire import checksums

_AT_ONCE = 8
_PAGE = 1000

DELETES = (
    "what was deleted, copied or changed otherwise after the snapshot left nothing in the storage: look through what "
    "was deleted in the last minutes, it may be back"
)
NO_SNAPSHOT = (
    "without a snapshot accounts, keys, copies, settings of buckets and uploads are not known, and an object that was "
    "deleted shortly before may be back"
)

Tell = Callable[[str, int], None]
Asked = TypeVar("Asked")
Got = TypeVar("Got")


class Rebuild:
    """One comparison of a draft with its locations. ``tell(what, count)`` hears how far it is."""

    def __init__(self, draft: Draft, locations: Mapping[str, Location], seal: Seal, report: Report, tell: Tell) -> None:
        self._draft = draft
        self._locations = locations
        self._seal = seal
        self._report = report
        self._tell = tell
        self._few = DeferredSemaphore(_AT_ONCE)

    async def run(self) -> None:
        """Raises the storages' errors: a storage that does not answer is not one without blobs."""
        report, draft = self._report, self._draft
        for location in self._locations.values():
            await self._look_through(location)
        made, anew = draft.settle_buckets()
        report.buckets += [f"{name} of {owner}: made from manifests, without its settings" for name, owner in made]
        report.buckets += [f"{name}: deleted and made again after the snapshot" for name in anew]
        await self._decide()
        gone = list(draft.drop_gone())
        report.gone += [
            Item(bucket, _text(key), "its bytes are gone: deleted or replaced after the snapshot, or lost", (blob,))
            for bucket, key, blob in gone
        ]
        uploads = draft.open_uploads()
        why = "what was sent, completed or aborted after the snapshot is not known"
        report.uploads += [Item(bucket, _text(key), why, (id_,)) for bucket, key, id_ in uploads]
        report.owners += draft.owners_without_account()
        report.strays = sum(1 for _ in draft.strays())
        report.objects = draft.objects()

    async def _all(self, work: Callable[[Asked], Coroutine[Any, Any, Got]], todo: Sequence[Asked]) -> list[Got]:
        """``work`` for each, a few at once."""
        waiting = [self._few.run(work, one) for one in todo]
        done: list[Got] = await gatherResults(waiting, consumeErrors=True)
        return done

    # ------------------------------------------------------------ the storage's list

    async def _look_through(self, location: Location) -> None:
        after, seen, count = "", "", 0
        while True:
            page = await location.list(ListRequest(after=after, limit=_PAGE))
            if page.blobs or page.after is None:
                blobs = [(blob.name, blob.size) for blob in page.blobs if not _is_ours(blob.name)]
                end = None if page.after is None else page.blobs[-1].name
                await self._look_at(location, self._draft.compare(location.name, seen, blobs, end))
                seen = end or ""
            count += len(page.blobs)
            self._tell(f"blobs of {location.name} looked at", count)
            if page.after is None:
                return
            after = page.after

    async def _look_at(self, location: Location, names: Sequence[str]) -> None:
        found = await self._all(partial(self._candidate, location), names)
        self._draft.add([each for each in found if each is not None])

    async def _candidate(self, location: Location, name: str) -> Candidate | None:
        if self._draft.was_never_committed(name):
            return None
        try:
            pair = (await location.head(HeadRequest(name=name))).metadata.get(MANIFEST)
            if pair is None:
                return None
            own = pair == OWN_BLOB
            sealed = await contents(await location.get(GetRequest(name=name, length=LARGEST))) if own else b""
        except BlobMissing:
            return None  # a gateway of before still runs somewhere, or somebody tidies up: it is not there
        try:
            manifest = open_blob(self._seal, sealed, name) if own else open_beside(self._seal, pair, name)
        except SealBroken:
            self._report.faults.append(f"{location.name}: {name} has a manifest that this gateway's key does not open")
            return None
        if manifest.upload and not own:
            return None  # bytes of an upload: an object only where a manifest of its own says so
        return Candidate(
            location.name,
            name,
            manifest.bucket,
            manifest.bucket_id,
            manifest.bucket_owner,
            manifest.key,
            manifest.sequence,
            manifest.floor,
            round(manifest.at * 1000),
            sealed or base64.b64decode(pair),
            own,
        )

    # ------------------------------------------------------------ which of a key's blobs is its object

    async def _decide(self) -> None:
        after, count = ("", b""), 0
        while groups := self._draft.groups(after):
            for group, (newest, outcome) in zip(groups, await self._all(self._choose, groups), strict=True):
                self._settle(group, newest, outcome)
            after = (groups[-1][0].bucket, groups[-1][0].key)
            count += len(groups)
            self._tell("keys decided", count)

    async def _choose(self, group: list[Candidate]) -> tuple[Candidate, NewVersion | Item]:
        """The version that the newest candidate of a key makes, or why there is none."""
        where = group[0].bucket, _text(group[0].key)
        newest = newest_of(self._told_apart(group))
        if newest is None:
            why = "written at the same time, which one is newer died with the catalogue; the bytes stay in"
            return group[0], Item(*where, why, tuple(each.name for each in group))
        manifest = open_blob(self._seal, newest.sealed, newest.name)
        try:
            if manifest.whole is not None:
                return newest, self._whole(newest, manifest.whole)
            return newest, await self._read(newest, manifest)
        except (BackendError, _Damaged) as fault:
            return newest, Item(*where, f"{type(fault).__name__.strip('_')}: {fault}", (newest.name,))

    def _told_apart(self, group: list[Candidate]) -> list[Candidate]:
        """Without the doubles: a completion that was begun again after a kill tells twice of the same bytes."""
        apart: dict[object, Candidate] = {}
        for each in sorted(group, key=lambda one: (one.sequence, one.floor)):
            whole = open_blob(self._seal, each.sealed, each.name).whole if each.own else None
            apart[tuple(piece.blob for piece in whole.pieces) if whole else each.name] = each
        return list(apart.values())

    def _whole(self, newest: Candidate, whole: NewVersion) -> NewVersion:
        """What a manifest of its own tells, where every blob that it names is there."""
        for piece in whole.pieces:
            size = self._draft.size_of(whole.location, piece.blob)
            if size is None and self._draft.is_live(whole.location, piece.blob):
                continue
            if size is None or size < piece.start + piece.size:
                raise BlobMissing(f"{piece.blob} is not there, or too short")
        return replace(whole, pieces=(*whole.pieces, Piece(newest.name, 0, 0, b"")))

    async def _read(self, newest: Candidate, manifest: Manifest) -> NewVersion:
        """An object in one blob: its ETag and checksums come from its bytes, its proof must agree with them."""
        size = self._draft.size_of(newest.location, newest.name) or 0
        flow = Outflow(self._locations[newest.location], [(0, Piece(newest.name, 0, size, b""))], 0, size, verify=False)
        tally = Tally(flow, {"MD5", *manifest.kept, *manifest.proof})
        measured = Measured(tally)
        try:
            async for _ in measured:
                pass
        finally:
            measured.close()
        told = {name: checksums.encode(digest) for name, digest in tally.results.items()}
        for name, value in manifest.proof.items():
            if told[name] != value:
                raise _Damaged(f"its {name} is {told[name]}, its client told {value}")
        return NewVersion(
            bucket=manifest.bucket_id,
            key=manifest.key,
            owner=manifest.owner,
            location=newest.location,
            size=size,
            stored=size,
            etag=tally.results["MD5"].hex(),
            pieces=(Piece(newest.name, 0, size, measured.crcs()),),
            content=manifest.content,
            checksums={name: told[name] for name in manifest.kept},
            checksum_type=checksums.FULL_OBJECT if manifest.kept else "",
        )

    def _settle(self, group: list[Candidate], newest: Candidate, outcome: NewVersion | Item) -> None:
        """What was decided about one key becomes rows."""
        report, draft = self._report, self._draft
        for each in group:
            if each.own:
                whole = open_blob(self._seal, each.sealed, each.name).whole
                draft.end_uploads(each.location, [piece.blob for piece in whole.pieces] if whole else [])
        if isinstance(outcome, Item):
            draft.leave_out(newest.bucket, newest.key)
            kind = report.undecided if len(outcome.blobs) > 1 else report.damaged
            kind.append(outcome)
        elif draft.bring_back(outcome, newest.at):
            why = "written after the snapshot; whether it was deleted again is not known"
            report.from_manifests.append(Item(newest.bucket, _text(newest.key), why, (newest.name,)))


class _Damaged(Exception):
    """Bytes are not what their client said they are."""


def newest_of(group: Sequence[Candidate]) -> Candidate | None:
    """The one that began when all others of its key were over; None where there is no such one."""
    for one in group:
        if all(other is one or other.sequence < one.floor for other in group):
            return one
    return None


def _is_ours(name: str) -> bool:
    """Names that no lease gave: the owner's marker and snapshots."""
    return name == MARKER or name.startswith(f"{FOLDER}/")


def _text(key: bytes) -> str:
    return key.decode(errors="replace")
