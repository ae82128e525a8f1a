"""What is kept in the storage about an object, sealed: enough to know it again if the catalogue is ever lost.

A blob that is an object by itself carries its manifest as metadata, written before its bytes are known: whoever reads
it later computes ETag and checksums from the bytes. Everything else (several blobs, a multipart upload, a text too long
for the storage's metadata) gets a manifest of its own: a small blob, written when all is known and before the commit,
that hangs on the version as a piece of no bytes, and so lives exactly as long as the version.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from gateway.catalogue.starts import Start
from gateway.model import NOTHING, Bucket, Capabilities, Content, NewVersion, PartFacts, Piece
from gateway.model.bodies import no_pairs
from gateway.model.record import record
from gateway.operations.gateway import Gateway
from gateway.seal import Seal, SealBroken

MANIFEST = "manifest"  # the metadata's one name
OWN_BLOB = "blob"  # its value where the blob's bytes are the manifest
LARGEST = 64 * 1024**2  # ten thousand parts of 5 GiB with a CRC per MiB
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))  # made once: json.dumps makes one for each text


@record(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is known of an object when its write begins; in ``whole`` all of it, where it is known.

    ``sequence`` and ``floor``: its place in the order (``catalogue.starts``). ``kept``: the checksums that its version
    remembers; ``proof``: digests that the client told beforehand. ``upload``: the blob belongs to a multipart upload,
    which alone makes no object. ``at``: seconds since the epoch, for people.
    """

    bucket: str
    bucket_id: int
    bucket_owner: str
    key: bytes
    owner: str
    content: Content
    sequence: int
    floor: int
    at: float
    kept: tuple[str, ...] = ()
    proof: Mapping[str, str] = field(default_factory=no_pairs)
    upload: str = ""
    whole: NewVersion | None = None


def describe(
    gateway: Gateway,
    bucket: Bucket,
    owner: str,
    content: Content,
    start: Start,
    *,
    kept: tuple[str, ...] = (),
    proof: Mapping[str, str] = NOTHING,
    upload: str = "",
) -> Manifest:
    """The manifest of a write that begins now."""
    return Manifest(
        bucket=bucket.name,
        bucket_id=bucket.id,
        bucket_owner=bucket.owner,
        key=start.key,
        owner=owner,
        content=content,
        sequence=start.sequence,
        floor=start.floor,
        at=gateway.clock(),
        kept=kept,
        proof=proof,
        upload=upload,
    )


def beside(seal: Seal, manifest: Manifest, name: str, capabilities: Capabilities) -> Mapping[str, str]:
    """The one metadata pair for blob ``name``, or nothing where the storage keeps less."""
    plain, limit = _text(manifest), capabilities.metadata_size
    for text in (plain, zlib.compress(plain)) if limit is not None else (plain,):
        sealed = base64.b64encode(seal.close(text, _purpose(name))).decode()
        if limit is None or len(MANIFEST) + len(sealed) <= limit:
            return {MANIFEST: sealed}
    return NOTHING


def blob_of(seal: Seal, manifest: Manifest, name: str) -> bytes:
    """The bytes of a manifest that is a blob of its own."""
    return seal.close(zlib.compress(_text(manifest)), _purpose(name))


def open_beside(seal: Seal, text: str, name: str) -> Manifest:
    """The manifest that lies beside blob ``name``. Raises SealBroken for another gateway's, and for damaged ones."""
    try:
        return open_blob(seal, base64.b64decode(text, validate=True), name)
    except ValueError as fault:
        raise SealBroken("a manifest that is no base64") from fault


def open_blob(seal: Seal, sealed: bytes, name: str) -> Manifest:
    """The manifest that the blob ``name`` holds. Raises SealBroken."""
    text = seal.open(sealed, _purpose(name))
    facts = json.loads(text if text.startswith(b"{") else zlib.decompress(text))
    bucket_id, bucket_name, bucket_owner = facts["bucket"]
    manifest = Manifest(
        bucket=bucket_name,
        bucket_id=bucket_id,
        bucket_owner=bucket_owner,
        key=facts["key"].encode(),
        owner=facts.get("owner", bucket_owner),
        content=Content(
            headers=facts.get("headers", {}),
            metadata=facts.get("metadata", {}),
            storage_class=facts.get("class", "STANDARD"),
        ),
        sequence=facts["order"][0],
        floor=facts["order"][1],
        at=facts["at"],
        kept=tuple(facts.get("kept", ())),
        proof=facts.get("proof", {}),
        upload=facts.get("upload", ""),
    )
    return _with_whole(manifest, facts["whole"]) if "whole" in facts else manifest


def _purpose(name: str) -> bytes:
    return b"manifest:" + name.encode()


def _text(manifest: Manifest) -> bytes:
    content = manifest.content
    facts: dict[str, object] = {
        "bucket": [manifest.bucket_id, manifest.bucket, manifest.bucket_owner],
        "key": manifest.key.decode(),
        "order": [manifest.sequence, manifest.floor],
        "at": round(manifest.at, 3),
    }
    optional: dict[str, object] = {
        "owner": manifest.owner if manifest.owner != manifest.bucket_owner else "",
        "headers": dict(content.headers),
        "metadata": dict(content.metadata),
        "class": content.storage_class if content.storage_class != "STANDARD" else "",
        "kept": manifest.kept,
        "proof": dict(manifest.proof),
        "upload": manifest.upload,
        "whole": None if manifest.whole is None else _whole(manifest.whole),
    }
    facts |= {name: value for name, value in optional.items() if value}
    return _JSON.encode(facts).encode()


def _whole(new: NewVersion) -> dict[str, object]:
    return {
        "location": new.location,
        "size": new.size,
        "etag": new.etag,
        "checksums": dict(new.checksums),
        "type": new.checksum_type,
        "parts": [[part.number, part.size, dict(part.checksums)] for part in new.parts],
        "pieces": [
            [piece.blob, piece.start, piece.size, base64.b64encode(piece.crcs).decode()] for piece in new.pieces
        ],
    }


def _with_whole(manifest: Manifest, facts: Mapping[str, Any]) -> Manifest:
    pieces = tuple(Piece(blob, start, size, base64.b64decode(crcs)) for blob, start, size, crcs in facts["pieces"])
    whole = NewVersion(
        bucket=manifest.bucket_id,
        key=manifest.key,
        owner=manifest.owner,
        location=facts["location"],
        size=facts["size"],
        stored=sum(piece.size for piece in pieces),
        etag=facts["etag"],
        pieces=pieces,
        content=manifest.content,
        checksums=facts["checksums"],
        checksum_type=facts["type"],
        parts=tuple(PartFacts(number, size, sums) for number, size, sums in facts["parts"]),
    )
    return replace(manifest, whole=whole)
