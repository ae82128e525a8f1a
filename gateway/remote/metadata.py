"""A blob's metadata as the plain headers that every cloud keeps.

Clouds differ in what they do to names (case, ``_``, ``-``), to empty or long values and to characters outside ASCII. So
all pairs travel as one base64 text, cut into headers named ``gw0``, ``gw1`` ... of at most 240 characters: OpenStack
Swift stops at 256 for a value, S3 at 2 KiB for everything, and Azure wants names that are identifiers.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from gateway.errors import BackendDown, BackendUnfit

PAIRS = 32
SIZE = 1360  # bytes of names and values; in base64 and with the headers' names just under S3's 2 KiB

_PIECE = 240


def pack(metadata: Mapping[str, str]) -> dict[str, str]:
    """Header names without the service's prefix, and their values; nothing for no metadata.

    Raises BackendUnfit where the declared limits (``PAIRS``, ``SIZE``) were not kept.
    """
    texts = [text.encode() for pair in metadata.items() for text in pair]
    size = sum(map(len, texts))
    if len(metadata) > PAIRS or size > SIZE or any(b"\0" in text for text in texts):
        seen = f"metadata of {len(metadata)} pairs and {size} bytes"
        raise BackendUnfit(f"{seen}: at most {PAIRS} pairs, {SIZE} bytes, and no NUL")
    if not metadata:
        return {}
    packed = base64.b64encode(b"\0".join(texts)).decode()
    pieces = [packed[at : at + _PIECE] for at in range(0, len(packed), _PIECE)] or [""]
    return {f"gw{number}": piece for number, piece in enumerate(pieces)}


def unpack(headers: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The metadata among a reply's headers (lower-case names). Raises BackendDown where it came back damaged."""
    pieces: list[str] = []
    while (piece := headers.get(f"{prefix}gw{len(pieces)}")) is not None:
        pieces.append(piece)
    if not pieces:
        return {}
    try:
        texts = base64.b64decode("".join(pieces), validate=True).decode().split("\0")
    except (binascii.Error, UnicodeDecodeError) as fault:
        raise BackendDown(f"the blob's metadata is damaged: {fault}") from fault
    if len(texts) % 2:
        raise BackendDown("the blob's metadata is damaged: a name without a value")
    return dict(zip(texts[::2], texts[1::2], strict=True))
