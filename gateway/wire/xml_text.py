"""The small pieces of XML that ``xml_write`` builds its documents from. Every value is escaped here or nowhere.

Characters that XML 1.0 cannot carry become numeric references, as S3 writes them; a client that wants to parse such
a listing asks for encoding-type=url, and names are percent-encoded instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

# "\r" would come back as "\n" from any parser, so all control characters travel as references.
_SPECIAL = re.compile('[&<>"\x00-\x1f\ufffe\uffff]')
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_UNSAFE = re.compile(r"[^A-Za-z0-9_.~/-]")
# The octets that stand for themselves, in names that are percent-encoded and in others.
_SAFE = bytes(octet for octet in range(128) if not _UNSAFE.match(chr(octet)))
_PLAIN = bytes(octet for octet in range(128) if not _SPECIAL.match(chr(octet)))
_PERCENT = {chr(octet): f"%{octet:02X}" for octet in range(256)}


def _reference(found: re.Match[str]) -> str:
    character = found[0]
    return _NAMED.get(character) or f"&#x{ord(character):x};"


def _percent(found: re.Match[str]) -> str:
    return _PERCENT[found[0]]


def escape(text: str) -> str:
    """Text for the inside of an element."""
    return _SPECIAL.sub(_reference, text)


def prose(text: str) -> str:
    """The same for what people and tests read in errors, where S3 leaves quotes as they are."""
    return escape(text).replace("&quot;", '"')


def name_text(name: bytes, url: bool) -> str:
    """A key or prefix. In ``url`` a space becomes %20, never "+", so that both ways of decoding give it back."""
    return _UNSAFE.sub(_percent, name.decode("latin-1")) if url else _SPECIAL.sub(_reference, name.decode("utf-8"))


def names_text(names: Sequence[bytes], url: bool) -> list[str]:
    """``name_text`` of each. Most pages hold nothing to escape, and one look at all their names tells."""
    if b"".join(names).translate(None, _SAFE if url else _PLAIN):
        return [name_text(name, url) for name in names]
    return [name.decode("ascii") for name in names]


def element(tag: str, value: str | None, url: bool = False) -> str:
    """``<tag>value</tag>``, nothing for None; ``url``: percent-encoded."""
    if value is None:
        return ""
    return f"<{tag}>{name_text(value.encode('utf-8'), True) if url else escape(value)}</{tag}>"


def document(root: str, inner: str = "") -> bytes:
    """A whole document in S3's namespace; ``inner`` is XML already."""
    return f'{HEAD}<{root} xmlns="{NAMESPACE}">{inner}</{root}>'.encode()


def person(tag: str, identity: str, display_name: str) -> str:
    """An Owner or Initiator."""
    return f"<{tag}><ID>{escape(identity)}</ID><DisplayName>{escape(display_name)}</DisplayName></{tag}>"


def common_prefixes(prefixes: Sequence[bytes], url: bool) -> str:
    """The rows of a listing that stand for many keys each."""
    rows = [f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in names_text(prefixes, url)]
    return "".join(rows)


def checksum_elements(checksums: Mapping[str, str], checksum_type: str = "") -> str:
    """``<ChecksumCRC32>...`` for each algorithm, then ChecksumType where there is one."""
    sums = "".join([f"<Checksum{name}>{escape(value)}</Checksum{name}>" for name, value in checksums.items()])
    return sums + element("ChecksumType", checksum_type or None)


def flag(value: bool) -> str:
    return "true" if value else "false"


def encoding_type(url: bool) -> str:
    return "<EncodingType>url</EncodingType>" if url else ""
