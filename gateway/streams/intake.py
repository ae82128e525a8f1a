"""A client's body on its way in: unframed, counted, digested, and proved before its last chunk is given on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from gateway.errors import S3Error
from gateway.model import Body
from gateway.streams.digest import Digests
from gateway.wire import checksums
from gateway.wire.chunked import Decoder, too_few
from gateway.wire.signature import Payload

# S3 takes this checksum of an object whose client asked for none.
_DEFAULT_CHECKSUM = "CRC64NVME"


class Intake:
    """The verified bytes of a call's body, as a Body.

    A reader that takes exactly ``size`` bytes has taken proved bytes: the last chunk is held back until signature,
    trailer, length and digests are right, and what is wrong raises S3Error instead. ``etag``, ``checksums`` and
    ``count`` are there after the end. ``promised`` names the checksum algorithm that the client asked for, or "".
    ``also`` names one more algorithm to compute; ``kept`` are those whose values ``checksums`` will have.
    """

    def __init__(
        self,
        body: Body,
        headers: Mapping[str, str],
        payload: Payload,
        *,
        limit: int,
        too_large: str = "EntityTooLarge",
        also: str = "",
    ) -> None:
        self.size = payload.decoded_length if payload.framed else body.size
        if self.size is not None and self.size > limit:
            raise S3Error(too_large, fields={"ProposedSize": str(self.size), "MaxSizeAllowed": str(limit)})
        self._expected = checksums.requested(headers)
        self._limit = limit
        self._too_large = too_large
        self._body = body
        self._payload = payload
        self._decoder = Decoder(payload) if payload.framed else None
        self.promised = self._expected.algorithm
        self.kept = {self.promised or _DEFAULT_CHECKSUM, also} - {""}
        algorithms = {"MD5", *self.kept} | ({"SHA256"} if payload.sha256 is not None else set())
        self._blocks = checksums.BlockCrcs()
        self._digests = Digests(algorithms, self.size, self._blocks)
        self._proved = False
        self.etag = ""
        self.checksums: Mapping[str, str] = {}

    @property
    def has_promise(self) -> bool:
        """Whether the client sent any digest of its own: Content-MD5, or a checksum in header or trailer."""
        return self._expected.md5 is not None or bool(self.promised)

    @property
    def proof(self) -> Mapping[str, str]:
        """One digest (algorithm -> base64) that the client told before the body, where it told any."""
        expected = self._expected
        if expected.value is not None:
            return {expected.algorithm: checksums.encode(expected.value)}
        if expected.md5 is not None:
            return {"MD5": checksums.encode(expected.md5)}
        if self._payload.sha256 is not None:
            return {"SHA256": checksums.encode(bytes.fromhex(self._payload.sha256))}
        return {}

    def md5(self) -> str:
        """In hex, after the end."""
        return self.etag

    def crcs(self) -> bytes:
        """A CRC32C for each started MiB, as Measured has them; after the end."""
        return self._blocks.crcs()

    @property
    def count(self) -> int:
        """How many bytes have come."""
        return self._digests.count

    async def prove_empty(self) -> None:
        """A body without bytes gives no chunk to hold back; so it is proved before anybody is asked to keep it."""
        if self.size == 0:
            async for _ in self:
                raise S3Error("IncompleteBody", cause="bytes came where none were announced")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._proved:
            return
        held: bytes | None = None
        async for chunk in self._unframed():
            await self._digests.add(chunk)
            if self.size is not None and self.count > self.size:
                raise S3Error("IncompleteBody", cause=f"more than the announced {self.size} bytes came")
            if self.count > self._limit:
                raise S3Error(self._too_large)
            if held is not None:
                yield held
            held = chunk
        await self._prove()
        if held is not None:
            yield held

    async def _unframed(self) -> AsyncIterator[bytes]:
        decoder = self._decoder
        async for data in self._body:
            if decoder is None:
                yield data
                continue
            for chunk in decoder.feed(data):
                yield chunk
        if decoder is not None:
            decoder.finish()

    async def _prove(self) -> None:
        if self.size is not None and self.count != self.size:
            raise too_few(self.size, self.count)
        digests = await self._digests.finish()
        if self._payload.sha256 is not None and digests["SHA256"].hex() != self._payload.sha256:
            both = {
                "ClientComputedContentSHA256": self._payload.sha256,
                "S3ComputedContentSHA256": digests["SHA256"].hex(),
            }
            raise S3Error("XAmzContentSHA256Mismatch", fields=both)
        self._expected.prove(digests, self._decoder.trailers if self._decoder is not None else {})
        self.etag = digests["MD5"].hex()
        self.checksums = {name: checksums.encode(digests[name]) for name in sorted(self.kept)}
        self._proved = True

    def close(self) -> None:
        self._body.close()


async def read_all(intake: Intake) -> bytes:
    """The whole body in memory: for documents whose size the intake's limit bounds."""
    return b"".join([chunk async for chunk in intake])
