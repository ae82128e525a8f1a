"""Multipart uploads, as a client drives them: create, upload parts, complete or abort."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence

from twisted.internet.task import deferLater
from twisted.logger import Logger

from gateway.errors import BackendError, S3Error
from gateway.model import (
    Body,
    Bucket,
    ChosenPart,
    CompleteMPURequest,
    CreateMPURequest,
    NewVersion,
    PartFacts,
    Reply,
    Upload,
    UploadedPart,
    UploadPartRequest,
    Version,
)
from gateway.operations import store
from gateway.operations.gateway import Gateway, Operation, key_of, owner_of, the
from gateway.operations.get import checksum_headers
from gateway.operations.manifest import beside, describe
from gateway.operations.xml_body import Digest, read_xml
from gateway.streams import Intake
from gateway.verifier import VerifiedCall
from gateway.wire import checksums, conditions, request, xml_read, xml_write

log = Logger()
_XML = ("Content-Type", "application/xml")
_SMALLEST_PART = 5 * 1024**2  # S3: every part but the last
MOST_PARTS = 10_000
_POLLS, _BETWEEN_POLLS = 200, 0.05  # ten seconds for a completion that runs elsewhere
DEFAULT_CHECKSUM = "CRC64NVME"  # what S3 keeps of an upload that was created without an algorithm


async def create_upload(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """CreateMultipartUpload: the blob's name and the intent are durable before the backend hears of it."""
    where, key = the(bucket), key_of(call)
    content = request.content(call.route.headers)
    algorithm, kind = checksums.multipart_kind(call.route.headers)
    location = gateway.location(where.location)
    upload = await gateway.catalogue.uploads.create(
        bucket=where.id,
        key=key,
        owner=owner_of(call),
        location=location.name,
        blob=await gateway.catalogue.blobs.name(location.name),
        content=content,
        checksum_algorithm=algorithm,
        checksum_type=kind,
    )
    with gateway.catalogue.starts.begin(where.id, key) as start:
        manifest = describe(gateway, where, upload.owner, content, start, upload=upload.blob)
    pair = beside(gateway.seal, manifest, upload.blob, location.capabilities)
    try:
        token = (await location.createMPU(CreateMPURequest(name=upload.blob, metadata=pair))).token
        await gateway.catalogue.uploads.opened(upload.id, token)
    except BaseException:
        await store.give_up(gateway, location, upload)
        raise
    headers: tuple[tuple[str, str], ...] = (_XML,)
    if algorithm:
        headers += (("x-amz-checksum-algorithm", algorithm), ("x-amz-checksum-type", kind))
    return Reply(200, headers, xml_write.initiate_multipart(where.name, key, upload.id))


async def find_upload(gateway: Gateway, call: VerifiedCall, bucket: Bucket, *states: str) -> Upload:
    """The call's upload if it is in one of the states, else NoSuchUpload."""
    upload_id = call.route.params.get("uploadId", "")
    upload = await gateway.catalogue.uploads.find(bucket.id, key_of(call), upload_id)
    if upload is None or upload.state not in states:
        raise S3Error("NoSuchUpload", fields={"UploadId": upload_id})
    return upload


def part_number(call: VerifiedCall) -> int:
    """The call's ``partNumber``, 1 to 10,000."""
    return request.part_number(call.route.params.get("partNumber", ""))


async def upload_part(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """UploadPart: a number that is sent again replaces the earlier one once it is whole."""
    store.demand_length(call)
    number = part_number(call)
    upload = await find_upload(gateway, call, the(bucket), "open")
    also = upload.checksum_algorithm or DEFAULT_CHECKSUM
    intake = Intake(call.call.body, call.route.headers, call.payload, limit=store.LARGEST_BODY, also=also)
    _check_promised(upload, intake.promised)
    if intake.size is None:
        raise S3Error("MissingContentLength")
    await intake.prove_empty()
    receipt = await send_part(gateway, upload, number, intake, intake.size)
    await gateway.catalogue.uploads.put_part(
        upload.id,
        UploadedPart(
            number=number,
            size=intake.size,
            stored=intake.size,
            etag=intake.etag,
            receipt=receipt,
            crcs=intake.crcs(),
            modified=gateway.clock(),
            checksums=intake.checksums,
        ),
    )
    asked_for = (intake.promised, upload.checksum_algorithm)
    told = {name: value for name, value in intake.checksums.items() if name in asked_for}
    return Reply(200, (("ETag", f'"{intake.etag}"'), *checksum_headers(told, "")))


def _check_promised(upload: Upload, algorithm: str) -> None:
    """Every part of a COMPOSITE checksum comes with its own; that of a FULL_OBJECT may, and nothing else."""
    may_lack = upload.checksum_type != checksums.COMPOSITE
    if upload.checksum_algorithm and algorithm != upload.checksum_algorithm and (algorithm or not may_lack):
        raise S3Error(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {upload.checksum_algorithm.lower()}, "
            f"actual checksum Type: {algorithm.lower() or 'null'}",
        )


async def send_part(gateway: Gateway, upload: Upload, number: int, body: Body, size: int) -> str:
    """Give a part to the backend; its receipt. NoSuchUpload where the upload ended meanwhile, whatever that broke."""
    location = gateway.location(upload.location)
    largest = location.capabilities.largest_part
    if largest is not None and size > largest:
        raise S3Error("EntityTooLarge", cause=f"location {location.name} takes parts up to {largest} bytes")
    sent = UploadPartRequest(name=upload.blob, token=upload.token, number=number, body=body, size=size)
    try:
        return (await location.uploadPart(sent)).receipt
    except BackendError:
        now = await gateway.catalogue.uploads.find(upload.bucket, upload.key, upload.id)
        if now is None or now.state != "open":
            raise S3Error("NoSuchUpload", fields={"UploadId": upload.id}) from None
        raise


async def complete_upload(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """CompleteMultipartUpload: asked again with the same parts it gives the same answer, for seven days, or as long as
    there is an object."""
    where, key = the(bucket), key_of(call)
    upload = await find_upload(gateway, call, where, "open", "completing", "completed")
    wanted = await read_xml(call, xml_read.complete_upload, digest=Digest.OF_THE_OBJECT)
    asked = hashlib.sha256("".join(f"{part.number}:{part.etag};" for part in wanted).encode()).hexdigest()
    version = await _begin(gateway, upload.id, asked)
    if version is None:
        try:
            version = await _complete(gateway, call, where, upload, wanted)
        except BaseException:
            await gateway.catalogue.uploads.release_completion(upload.id)
            raise
    elif await gateway.catalogue.versions.find(where.id, key) is None:  # completed, and deleted since
        raise S3Error("NoSuchUpload", fields={"UploadId": upload.id})
    url = f"http{'s' if call.call.secure else ''}://{call.call.headers.get('host', '')}{call.call.path}"
    body = xml_write.complete_multipart(url, where.name, key, version.etag, version.checksums, version.checksum_type)
    return Reply(200, (_XML,), body)


async def _begin(gateway: Gateway, upload_id: str, asked: str) -> Version | None:
    """Take the upload for completion; while another call completes it, wait for what that one makes."""
    from twisted.internet import reactor  # importing it makes it, so not before somebody wants it

    for _ in range(_POLLS):
        try:
            return await gateway.catalogue.uploads.begin_completion(upload_id, asked)
        except S3Error as refusal:
            if refusal.code != "OperationAborted":
                raise
        await deferLater(reactor, _BETWEEN_POLLS)
    raise S3Error("OperationAborted")


async def _complete(
    gateway: Gateway, call: VerifiedCall, bucket: Bucket, upload: Upload, wanted: Sequence[xml_read.CompletedPart]
) -> Version:
    headers = call.route.headers
    uploaded = {part.number: part for part in await gateway.catalogue.uploads.parts(upload.id, limit=MOST_PARTS)}
    parts = _choose(upload, wanted, uploaded)
    if "if-match" in headers or "if-none-match" in headers:
        conditions.check_write(headers, await gateway.catalogue.versions.find(upload.bucket, upload.key))
    size = sum(part.size for part in parts)
    _check_size(headers.get("x-amz-mp-object-size"), size)
    whole, kind = whole_checksum(upload, parts)
    _check_declared(headers, whole, kind)
    with gateway.catalogue.starts.begin(upload.bucket, upload.key) as start:
        manifest = describe(gateway, bucket, upload.owner, upload.content, start, upload=upload.blob)
        new = await _join(gateway, upload, parts, whole, kind)
        new = await store.keep_manifest(gateway, gateway.location(upload.location), manifest, new)
        try:
            return await gateway.catalogue.uploads.commit_completion(
                upload.id, new, check=lambda current: conditions.check_write(headers, current)
            )
        except BaseException:
            await store.discard(gateway, upload.location, [new.pieces[-1].blob])
            raise


async def _join(
    gateway: Gateway, upload: Upload, parts: Sequence[UploadedPart], whole: Mapping[str, str], kind: str
) -> NewVersion:
    """Join the parts in the storage; the version that they make."""
    size = sum(part.size for part in parts)
    done = await gateway.location(upload.location).completeMPU(
        CompleteMPURequest(
            name=upload.blob,
            token=upload.token,
            parts=tuple(ChosenPart(number=part.number, size=part.stored, receipt=part.receipt) for part in parts),
        )
    )
    return NewVersion(
        bucket=upload.bucket,
        key=upload.key,
        owner=upload.owner,
        location=upload.location,
        size=size,
        stored=size,
        etag=etag_of(parts),
        pieces=store.pieces_of(done.blobs, [part.stored for part in parts], [part.crcs for part in parts]),
        content=upload.content,
        checksums=whole,
        checksum_type=kind,
        # Parts of an object count from 1, whatever numbers they were sent under.
        parts=tuple(PartFacts(number, part.size, _kept(part, upload)) for number, part in enumerate(parts, 1)),
    )


def _kept(part: UploadedPart, upload: Upload) -> Mapping[str, str]:
    """Which of a part's checksums S3 tells later: those of the algorithm that the upload was created with."""
    return {name: value for name, value in part.checksums.items() if name == upload.checksum_algorithm}


def whole_checksum(upload: Upload, parts: Sequence[UploadedPart]) -> tuple[Mapping[str, str], str]:
    """The object's checksum from its parts', and which kind it is."""
    algorithm = upload.checksum_algorithm or DEFAULT_CHECKSUM
    digests = [base64.b64decode(part.checksums[algorithm]) for part in parts]
    if upload.checksum_type == checksums.COMPOSITE:
        return {algorithm: checksums.composite(algorithm, digests)}, checksums.COMPOSITE
    sized = zip(digests, (part.size for part in parts), strict=True)
    return {algorithm: checksums.encode(checksums.full_object(algorithm, sized))}, checksums.FULL_OBJECT


def _check_size(announced: str | None, size: int) -> None:
    """What CompleteMultipartUpload announces must be the size of the object, in bytes."""
    if announced is None:
        return
    if not (announced.isascii() and announced.isdigit()):
        raise S3Error("InvalidRequest", "Value for x-amz-mp-object-size header is invalid.")
    if len(announced) > 20 or int(announced) != size:  # int() of a very long text is slow
        raise S3Error("InvalidRequest", "The provided 'x-amz-mp-object-size' header does not match the object's size")


def _check_declared(headers: Mapping[str, str], whole: Mapping[str, str], kind: str) -> None:
    """What CompleteMultipartUpload declares about the whole object must be what its parts make."""
    declared_kind = headers.get("x-amz-checksum-type", "").upper()
    if declared_kind not in ("", checksums.COMPOSITE, checksums.FULL_OBJECT):
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    if declared_kind and declared_kind != kind:
        raise S3Error("InvalidRequest", f"The upload was created using the {kind} checksum type.")
    declared = checksums.declared_object(headers)
    if declared is not None:
        algorithm, text = declared
        known = whole.get(algorithm, "")
        if text not in (known, known.partition("-")[0]):  # minio-go leaves out the "-N" of a composite one
            raise checksums.mismatch(algorithm)


def _choose(
    upload: Upload, wanted: Sequence[xml_read.CompletedPart], uploaded: Mapping[int, UploadedPart]
) -> list[UploadedPart]:
    """The uploaded parts that the client lists, each with the ETag and checksums it lists."""
    chosen = []
    for row in wanted:
        if upload.checksum_type == checksums.COMPOSITE and upload.checksum_algorithm not in row.checksums:
            raise S3Error(
                "InvalidRequest",
                f"The upload was created using a {upload.checksum_algorithm.lower()} checksum. The complete request "
                f"must include the checksum for each part. It was missing for part {row.number} in the request.",
            )
        part = uploaded.get(row.number)
        if part is None or part.etag != row.etag or not row.checksums.items() <= part.checksums.items():
            about = {"UploadId": upload.id, "PartNumber": str(row.number), "ETag": row.etag[:128]}
            raise S3Error("InvalidPart", fields=about)
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < _SMALLEST_PART:
            raise S3Error(
                "EntityTooSmall",
                fields={
                    "ProposedSize": str(part.size),
                    "MinSizeAllowed": str(_SMALLEST_PART),
                    "PartNumber": str(part.number),
                    "ETag": part.etag,
                },
            )
    return chosen


def etag_of(parts: Sequence[UploadedPart]) -> str:
    """S3's ETag of a multipart object: the MD5 of the parts' MD5s, and how many there were."""
    digest = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts), usedforsecurity=False)
    return f"{digest.hexdigest()}-{len(parts)}"


async def abort_upload(gateway: Gateway, call: VerifiedCall, bucket: Bucket | None) -> Reply:
    """AbortMultipartUpload: durable with the catalogue's row; what the backend cannot do now the reaper does later."""
    upload = await find_upload(gateway, call, the(bucket), "open")
    await gateway.catalogue.uploads.begin_abort(upload.id)
    try:
        await store.end_upload(gateway.location(upload.location), upload.blob)
        await gateway.catalogue.uploads.forget(upload.id)
    except (BackendError, S3Error) as fault:
        log.warn("upload {id} could not be ended yet: {fault}", id=upload.id, fault=fault)
    return Reply(204)


OPERATIONS: dict[str, Operation] = {
    "CreateMultipartUpload": create_upload,
    "UploadPart": upload_part,
    "CompleteMultipartUpload": complete_upload,
    "AbortMultipartUpload": abort_upload,
}
