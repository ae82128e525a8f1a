"""UploadPartCopy: a part whose bytes come from an object instead of from the client."""

from __future__ import annotations

from gateway.errors import S3Error
from gateway.model import Bucket, Reply, UploadedPart
from gateway.operations.copy import find_source
from gateway.operations.gateway import Gateway, Operation, found_again, the
from gateway.operations.multipart import DEFAULT_CHECKSUM, find_upload, part_number, send_part
from gateway.operations.store import LARGEST_BODY
from gateway.streams import Measured, Outflow, Tally
from gateway.verifier import VerifiedCall
from gateway.wire import checksums, ranges, request, xml_write


async def upload_part_copy(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """UploadPartCopy: the whole source, or the range that ``x-amz-copy-source-range`` names."""
    number = part_number(call)
    asked = request.copy_source(call.route.headers.get("x-amz-copy-source", ""))
    upload = await find_upload(gateway, call, the(bucket), "open")
    reading = gateway.catalogue.blobs.reading()
    try:
        source = (await find_source(gateway, call, asked)).version
        start, stop = ranges.parse_copy(call.route.headers.get("x-amz-copy-source-range"), source.size)
        if stop - start > LARGEST_BODY:
            raise S3Error("InvalidRequest", "The specified copy range is larger than 5 GiB.")
        pieces = await gateway.catalogue.versions.pieces(source.id, start, stop)
        flow = Outflow(gateway.location(source.location), pieces, start, stop, on_close=reading.close)
    except BaseException:
        reading.close()
        raise
    algorithm = upload.checksum_algorithm or DEFAULT_CHECKSUM
    tally = Tally(flow, {"MD5", algorithm})
    measured = Measured(tally)
    size = stop - start
    receipt = await send_part(gateway, upload, number, measured, size)
    part = UploadedPart(
        number=number,
        size=size,
        stored=size,
        etag=tally.results["MD5"].hex(),
        receipt=receipt,
        crcs=measured.crcs(),
        modified=gateway.clock(),
        checksums={algorithm: checksums.encode(tally.results[algorithm])},
    )
    await gateway.catalogue.uploads.put_part(upload.id, part)
    told = part.checksums if upload.checksum_algorithm else {}
    return Reply(200, (("Content-Type", "application/xml"),), xml_write.copy_part(part.etag, part.modified, told))


OPERATIONS: dict[str, Operation] = {"UploadPartCopy": found_again(upload_part_copy)}
