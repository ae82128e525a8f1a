"""The XML documents that clients send, read strictly: anything S3's schema does not know is MalformedXML (400).

No DOCTYPE, no processing instruction, UTF-8 only, at most 32 levels and 11,000 elements; the caller limits the bytes.
10,000 parts take about 0.1 s of one core: read a document of more than 256 KiB off the reactor thread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import urlencode
from xml.parsers import expat

from gateway.errors import S3Error
from gateway.wire.checksums import ALGORITHMS, SIZES, decode
from gateway.wire.request import bad_argument, http_date

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DEEPEST = 32
MOST_ELEMENTS = 11_000
MOST_OBJECTS = 1_000  # in one DeleteObjects
MOST_PARTS = 10_000
MOST_PART_ELEMENTS = 1 + MOST_PARTS * 4  # Part, PartNumber, ETag and a checksum

_SPACE = " \t\r\n"  # XML's own; str.strip() would also eat U+0085 and U+00A0
_PLAIN_NAMESPACES = ("", NAMESPACE)
_WHOLE = re.compile(r"[0-9]{1,19}")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_DATE_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9:]{8})(?:\.[0-9]{1,9})?Z")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(slots=True)
class Node:
    """An element: its local name, attributes (``namespace name`` or ``name`` -> value), own text, and children."""

    name: str
    attributes: Mapping[str, str]
    text: str = ""
    children: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DeleteTarget:
    """One object of a DeleteObjects document; what was not given is None. ``etag`` is as sent."""

    key: bytes
    version_id: str | None = None
    etag: str | None = None
    size: int | None = None
    mtime: float | None = None


@dataclass(frozen=True, slots=True)
class DeleteList:
    """``quiet``: the reply names only what failed."""

    quiet: bool
    objects: tuple[DeleteTarget, ...]


@dataclass(frozen=True, slots=True)
class CompletedPart:
    """A part that the client wants in the object; ``etag`` without quotes, ``checksums`` algorithm -> base64."""

    number: int
    etag: str
    checksums: Mapping[str, str]


def malformed(cause: str) -> S3Error:
    """MalformedXML; the cause is for the log, S3 does not say what it disliked."""
    return S3Error("MalformedXML", cause=cause)


# ---------------------------------------------------------------- any document


class _Reader:
    """Collects nodes from expat's calls; every limit is checked as the document comes, not afterwards."""

    def __init__(self, most: int) -> None:
        self.left = most
        self.root: Node | None = None
        self.open: list[Node] = []
        self.texts: list[list[str]] = []

    def start(self, full_name: str, attributes: dict[str, str]) -> None:
        namespace, _, name = full_name.rpartition(" ")
        self.left -= 1
        if self.left < 0 or len(self.open) >= DEEPEST or namespace not in _PLAIN_NAMESPACES:
            raise malformed(f"too many or too deep elements, or a strange namespace, at {name[:64]}")
        node = Node(name, attributes)
        if self.open:
            self.open[-1].children.append(node)
        else:
            self.root = node
        self.open.append(node)
        self.texts.append([])

    def end(self, _name: str) -> None:
        node = self.open.pop()
        node.text = "".join(self.texts.pop())
        if node.children and node.text.strip(_SPACE):
            raise malformed(f"text between the elements of {node.name[:64]}")

    def data(self, text: str) -> None:
        self.texts[-1].append(text)

    def declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in ("utf-8", "utf8", "us-ascii"):
            raise malformed(f"declared encoding {encoding[:32]}")

    def refuse(self, *_details: object) -> NoReturn:
        raise malformed("DOCTYPE, entity or processing instruction")


def parse(body: bytes, root: str, most: int = MOST_ELEMENTS) -> Node:
    """The document's root, which must be named ``root``, in S3's namespace or in none. Raises MalformedXML."""
    if b"\0" in body:  # UTF-16 and UTF-32, which expat would detect and read whatever encoding it is told
        raise malformed("a NUL")
    reader = _Reader(most)
    parser = expat.ParserCreate("UTF-8", namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler, parser.XmlDeclHandler = reader.data, reader.declaration
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = reader.refuse
    parser.ProcessingInstructionHandler = reader.refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise malformed(f"not well-formed: {error}") from None
    if reader.root is None or reader.root.name != root:
        raise malformed(f"the root is not {root}")
    return reader.root


def _leaf(node: Node) -> str:
    if node.children:
        raise malformed(f"{node.name[:64]} has elements inside")
    return node.text


def _members(node: Node, allowed: frozenset[str]) -> dict[str, str]:
    """The texts of an element's leaves; MalformedXML for a name that is not allowed or comes twice."""
    found: dict[str, str] = {}
    for child in node.children:
        if child.name not in allowed or child.name in found:
            raise malformed(f"{child.name[:64]} is unknown or repeated in {node.name[:64]}")
        found[child.name] = _leaf(child)
    if not node.children and node.text.strip(_SPACE):
        raise malformed(f"text instead of elements in {node.name[:64]}")
    return found


def _integer(text: str | None, name: str, pattern: re.Pattern[str] = _WHOLE) -> int:
    stripped = "" if text is None else text.strip(_SPACE)
    if not pattern.fullmatch(stripped):
        raise malformed(f"{name} is not a whole number")
    return int(stripped)


# ---------------------------------------------------------------- the documents


def create_bucket(body: bytes) -> str:
    """The LocationConstraint of a CreateBucketConfiguration, "" where there is none or no document at all.

    Raises MalformedXML, NotImplemented (directory buckets, tags), InvalidLocationConstraint. API_CreateBucket.html
    """
    if not body.strip(b" \t\r\n"):
        return ""
    constraint = None
    for child in parse(body, "CreateBucketConfiguration").children:
        if child.name in ("Location", "Bucket", "Tags"):
            raise S3Error("NotImplemented", f"{child.name} in CreateBucketConfiguration is not implemented.")
        if child.name != "LocationConstraint" or constraint is not None:
            raise malformed(f"{child.name[:64]} is unknown or repeated")
        constraint = _leaf(child).strip(_SPACE)
    if constraint is not None and len(constraint) > 255:
        raise S3Error("InvalidLocationConstraint", fields={"LocationConstraint": constraint[:64]})
    return constraint or ""


_TARGET = frozenset(("Key", "VersionId", "ETag", "LastModifiedTime", "Size"))


def delete_objects(body: bytes) -> DeleteList:
    """A Delete document with 1 to 1,000 objects, in their order. Keys are taken byte for byte, spaces and all.

    Raises MalformedXML, InvalidArgument (an empty version id). API_DeleteObjects.html
    """
    quiet = None
    objects = []
    for child in parse(body, "Delete").children:
        if child.name == "Object":
            objects.append(_target(_members(child, _TARGET)))
        elif child.name == "Quiet" and quiet is None:
            quiet = _BOOLEANS.get(_leaf(child).strip(_SPACE).lower())
            if quiet is None:
                raise malformed("Quiet is not a boolean")
        else:
            raise malformed(f"{child.name[:64]} is unknown or repeated")
    if not 1 <= len(objects) <= MOST_OBJECTS:
        raise malformed(f"{len(objects)} objects")
    return DeleteList(quiet or False, tuple(objects))


def _target(values: dict[str, str]) -> DeleteTarget:
    key = values.get("Key")
    if not key:
        raise malformed("an Object without Key")
    version_id, mtime = values.get("VersionId"), values.get("LastModifiedTime")
    if version_id == "":  # silently meaning "the current version" would delete something else
        raise S3Error("InvalidArgument", "Version id cannot be the empty string.")
    return DeleteTarget(
        key=key.encode("utf-8"),
        version_id=version_id,
        etag=values.get("ETag"),
        size=_integer(values["Size"], "Size") if "Size" in values else None,
        mtime=None if mtime is None else _moment(mtime.strip(_SPACE)),
    )


def _moment(text: str) -> float:
    """LastModifiedTime: an HTTP date (what SDKs send), or ISO 8601 in UTC; part seconds are dropped."""
    if found := _DATE_ISO.fullmatch(text):
        months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
        year, month, day, clock = found.groups()
        if 1 <= int(month) <= 12:
            text = f"Mon, {day} {months[int(month) - 1]} {year} {clock} GMT"
    moment = http_date(text)
    if moment is None:
        raise malformed("LastModifiedTime is not a date")
    return moment


_PART = frozenset(("PartNumber", "ETag", *(f"Checksum{name}" for name in ALGORITHMS)))


def complete_upload(body: bytes) -> list[CompletedPart]:
    """The parts of a CompleteMultipartUpload, 1 to 10,000 of them, in ascending order.

    Raises MalformedXML, InvalidPartOrder, InvalidArgument (a number outside 1 to 10,000), InvalidRequest for no
    document at all. API_CompleteMultipartUpload.html
    """
    if not body:
        raise S3Error("InvalidRequest", "You must specify at least one part")
    parts: list[CompletedPart] = []
    last = 0
    for child in parse(body, "CompleteMultipartUpload", MOST_PART_ELEMENTS).children:
        if child.name != "Part" or len(parts) == MOST_PARTS:
            raise malformed(f"{child.name[:64]} is unknown, or one part too many")
        values = _members(child, _PART)
        number = _integer(values.get("PartNumber"), "PartNumber", _INTEGER)
        if "ETag" not in values:
            raise malformed("a Part without ETag")
        etag = values["ETag"].strip(_SPACE)  # an empty one is no part's
        if number < 1:
            raise bad_argument("PartNumber", str(number), "PartNumber must be >= 1")
        if number > MOST_PARTS:
            raise bad_argument(
                "PartNumber", str(number), f"Part number must be an integer between 1 and {MOST_PARTS}, inclusive"
            )
        if number <= last:
            raise S3Error("InvalidPartOrder")
        last = number
        parts.append(CompletedPart(number, _unquoted(etag), _part_checksums(values)))
    if not parts:
        raise malformed("no parts")
    return parts


_TAG = frozenset(("Key", "Value"))


def tagging(body: bytes) -> str:
    """A Tagging document as x-amz-tagging has it: ``name=value&name=value``. Raises MalformedXML. API_Tagging.html"""
    sets = parse(body, "Tagging").children
    if len(sets) != 1 or sets[0].name != "TagSet" or any(tag.name != "Tag" for tag in sets[0].children):
        raise malformed("a Tagging is one TagSet of Tags")
    tags = [_members(tag, _TAG) for tag in sets[0].children]
    if any(len(tag) != len(_TAG) for tag in tags):
        raise malformed("a Tag has a Key and a Value")
    return urlencode([(tag["Key"], tag["Value"]) for tag in tags])


def _part_checksums(values: Mapping[str, str]) -> dict[str, str]:
    found = {name[8:]: text.strip(_SPACE) for name, text in values.items() if name.startswith("Checksum")}
    for name, text in found.items():
        if len(found) > 1 or decode(text, SIZES[name]) is None:
            raise bad_argument("Checksum", text[:128], "Invalid Base64 or multiple checksums present in request")
    return found


def _unquoted(etag: str) -> str:
    return etag[1:-1] if len(etag) >= 2 and etag[0] == '"' == etag[-1] else etag
