"""Whether the answer to a GET is the range that was asked for. (RFC 9110, 14.4 and 15.3.7)"""

from __future__ import annotations

import re

from gateway.errors import BackendDown
from gateway.remote.replies import Reply

_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


def whole_size(reply: Reply, start: int, length: int | None) -> int:
    """The whole blob's size. Raises BackendDown where the answer is another range, or does not say which it is."""
    size = reply.body.size
    if reply.status == 200 and start == 0 and size is not None and (length is None or size <= length):
        return size  # some answer so where the range is the whole
    told = _RANGE.fullmatch(reply.headers.get("content-range", ""))
    if reply.status == 206 and told:
        first, last, whole = map(int, told.groups())
        end = whole if length is None else min(whole, start + length)
        if (first, last + 1) == (start, end) and size == end - start:
            return whole
    raise BackendDown(f"the service gave another range than {length} bytes from {start}: {told[0] if told else size}")
