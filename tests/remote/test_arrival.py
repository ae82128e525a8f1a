"""What was sent, and what a service says it keeps."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import pytest
import pytest_twisted

from gateway.bodies import BytesBody
from gateway.errors import BackendDown
from gateway.remote import Arrivals, Sent
from gateway.streams import Measured, Tally
from gateway.testing.pours import KI, MI, Pour, sample


class Told(BytesBody):
    """A body whose MD5 is taken by somebody else."""

    def md5(self) -> str:
        return "told"


def through(data: bytes) -> BytesBody:
    return BytesBody(data)


@pytest.mark.parametrize("source", [through, Pour, lambda data: Measured(Tally(BytesBody(data), {"MD5"}))])
@pytest.mark.parametrize("size", [0, 1, 64 * KI + 1, 3 * MI + 7])
@pytest_twisted.ensureDeferred
async def test_its_digest_is_that_of_all_bytes(source: Callable[[bytes], BytesBody], size: int) -> None:
    data = sample(size, 3)
    sent = Sent(source(data))
    assert b"".join([chunk async for chunk in sent]) == data
    assert sent.md5() == hashlib.md5(data, usedforsecurity=False).hexdigest()


@pytest_twisted.ensureDeferred
async def test_a_digest_that_is_taken_anyway_is_not_taken_again() -> None:
    sent = Sent(Measured(Told(b"x")))
    assert [chunk async for chunk in sent] == [b"x"]
    assert sent.md5() == "told"


@pytest_twisted.ensureDeferred
async def test_azures_crc() -> None:
    sent = Sent(BytesBody(b"123456789"), crc=True)
    async for _ in sent:
        pass
    assert sent.crc64() == base64.b64encode((0xAE8B14860A799888).to_bytes(8, "little")).decode()  # its check value


def test_a_service_is_believed_once_it_was_right() -> None:
    arrivals = Arrivals()
    arrivals.check("b", "of other bytes", "sent")
    arrivals.check("b", "sent", "sent")
    with pytest.raises(BackendDown, match="b was damaged on the way: the service keeps others, sent was sent"):
        arrivals.check("b", "others", "sent")
