"""Rows of documents in S3's grammar: objects that are listed, parts that are chosen."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from gateway import model
from gateway.errors import BackendDown


def listed(row: Element, prefix: str) -> model.ListedBlob:
    """An object of a list, whose key loses ``prefix``. Raises BackendDown where it makes no sense."""
    key, size, etag = (row.findtext(tag) or "" for tag in ("Key", "Size", "ETag"))
    if not key or not etag or not re.fullmatch("[0-9]{1,18}", size):
        raise BackendDown("the service listed an object without key, ETag or size")
    return model.ListedBlob(
        key.removeprefix(prefix), int(size), etag.strip('"'), _iso_date(row.findtext("LastModified"))
    )


def _iso_date(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text or "").timestamp()
    except ValueError:
        return None


def part_list(parts: Collection[model.ChosenPart]) -> bytes:
    """The document that completes an upload."""
    rows = "".join(
        f'<Part><PartNumber>{part.number}</PartNumber><ETag>"{escape(part.receipt)}"</ETag></Part>' for part in parts
    )
    return f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{rows}</CompleteMultipartUpload>'.encode()


def part_rows(page: Element) -> dict[int, str]:
    """Number -> ETag, of a list of parts."""
    rows = ((row.findtext("PartNumber") or "", row.findtext("ETag") or "") for row in page.iter("Part"))
    return {int(number): etag.strip('"') for number, etag in rows if re.fullmatch("[0-9]{1,5}", number)}
