"""One listing of both kinds of blobs, in byte order of their names."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

from gateway.api import ListedBlob, ListRequest, ListResult
from gateway_local.blobfile import Damaged
from gateway_local.files import Files
from gateway_local.folder import Folder
from gateway_local.rows import Rows


def page(request: ListRequest, folder: Folder, files: Files, rows: Rows | None) -> ListResult:
    """Blocks. A name that changes its kind meanwhile may be missing; the core never uses a name again."""
    small = _small(request, rows) if rows else iter(())
    with closing(folder.walk(request.prefix, request.after)) as large:
        names = _once(heapq.merge(small, large))
        found: Iterator[ListedBlob] = filter(None, (_look(name, files, rows) for name in names))
        blobs = tuple(islice(found, request.limit))
        more = next(found, None) is not None
    return ListResult(blobs, blobs[-1].name if blobs and more else None)


def _small(request: ListRequest, rows: Rows) -> Iterator[str]:
    """Names of rows; one more than is shown tells whether there is more, and some may be gone before they are shown."""
    after, wanted = request.after, request.limit + 1
    while names := rows.names(request.prefix, after, wanted):
        yield from names
        if len(names) < wanted:
            return
        after = names[-1]


def _once(names: Iterator[str]) -> Iterator[str]:
    last = ""
    for name in names:
        if name != last:
            yield name
        last = name


def _look(name: str, files: Files, rows: Rows | None) -> ListedBlob | None:
    """A row, else a file, else nothing: it was deleted meanwhile."""
    if rows is not None:
        try:
            row = rows.look(name)
        except Damaged:
            return ListedBlob(name, 0, "damaged")  # seen, so that it can be reported and deleted; no get gives it
        if row is not None:
            return ListedBlob(name, row.size, row.fingerprint, row.modified / 1e9)
    return files.look(name)
