"""The XML documents that clients get, from string templates: one function each, AWS's root names and namespace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.model import NOTHING, Account, Bucket, PartFacts, Upload, UploadedPart
from gateway.wire.request import format_iso
from gateway.wire.xml_text import (
    HEAD,
    checksum_elements,
    common_prefixes,
    document,
    element,
    encoding_type,
    escape,
    flag,
    name_text,
    person,
    prose,
)

XSI = "http://www.w3.org/2001/XMLSchema-instance"

# ---------------------------------------------------------------- errors


def error(
    code: str, message: str, resource: str, request_id: str, fields: Mapping[str, str] = NOTHING, host_id: str = ""
) -> bytes:
    """The one document without a namespace. ``fields``: extra elements, names from our own code. ErrorResponses.html"""
    extra = "".join([f"<{tag}>{prose(value)}</{tag}>" for tag, value in fields.items()])
    return (
        f"{HEAD}<Error><Code>{escape(code)}</Code><Message>{prose(message)}</Message>{extra}"
        f"<Resource>{escape(resource)}</Resource><RequestId>{escape(request_id)}</RequestId>"
        f"<HostId>{escape(host_id)}</HostId></Error>"
    ).encode()


# ---------------------------------------------------------------- service and bucket


def list_buckets(
    owner: Account,
    buckets: Iterable[Bucket],
    *,
    region: str | None = None,
    prefix: str | None = None,
    next_token: str | None = None,
) -> bytes:
    """API_ListBuckets.html. ``region``: shown with each bucket where the client asked for pages."""
    rows = [
        f"<Bucket><Name>{bucket.name}</Name><CreationDate>{format_iso(bucket.created)}</CreationDate>"
        f"{element('BucketRegion', region and (bucket.constraint or region))}</Bucket>"
        for bucket in buckets
    ]
    tail = element("ContinuationToken", next_token) + element("Prefix", prefix)
    who = person("Owner", owner.id, owner.display_name)
    return document("ListAllMyBucketsResult", f"{who}<Buckets>{''.join(rows)}</Buckets>{tail}")


def location(constraint: str) -> bytes:
    """API_GetBucketLocation.html: us-east-1 is the empty constraint."""
    return document("LocationConstraint", "" if constraint == "us-east-1" else escape(constraint))


def acl(owner: Account) -> bytes:
    """API_GetBucketAcl.html: the private ACL, its owner with FULL_CONTROL."""
    who = f"<ID>{escape(owner.id)}</ID><DisplayName>{escape(owner.display_name)}</DisplayName>"
    grantee = f'<Grantee xmlns:xsi="{XSI}" xsi:type="CanonicalUser">{who}</Grantee>'
    grant = f"<Grant>{grantee}<Permission>FULL_CONTROL</Permission></Grant>"
    return document("AccessControlPolicy", f"<Owner>{who}</Owner><AccessControlList>{grant}</AccessControlList>")


# ---------------------------------------------------------------- multipart uploads


def initiate_multipart(bucket: str, key: bytes, upload_id: str) -> bytes:
    """API_CreateMultipartUpload.html"""
    inner = f"<Bucket>{bucket}</Bucket><Key>{name_text(key, False)}</Key>{element('UploadId', upload_id)}"
    return document("InitiateMultipartUploadResult", inner)


def complete_multipart(
    url: str, bucket: str, key: bytes, etag: str, checksums: Mapping[str, str] = NOTHING, checksum_type: str = ""
) -> bytes:
    """API_CompleteMultipartUpload.html; ``url`` is where the object can be read."""
    return document(
        "CompleteMultipartUploadResult",
        f"{element('Location', url)}<Bucket>{bucket}</Bucket><Key>{name_text(key, False)}</Key>"
        f"<ETag>&quot;{etag}&quot;</ETag>{checksum_elements(checksums, checksum_type)}",
    )


def post_response(url: str, bucket: str, key: bytes, etag: str) -> bytes:
    """RESTObjectPOST.html: a document without a namespace, as S3 sends it; ``etag`` with its quotes."""
    inner = f"{element('Location', url)}<Bucket>{bucket}</Bucket><Key>{name_text(key, False)}</Key>"
    return f"{HEAD}<PostResponse>{inner}{element('ETag', etag)}</PostResponse>".encode()


def list_parts(
    bucket: str,
    upload: Upload,
    owner: Account,
    parts: Sequence[UploadedPart],
    *,
    marker: int,
    max_parts: int,
    truncated: bool,
    url: bool = False,
) -> bytes:
    """API_ListParts.html; who began an upload owns it."""
    rows = [
        f"<Part><PartNumber>{part.number}</PartNumber><LastModified>{format_iso(part.modified)}</LastModified>"
        f"<ETag>&quot;{part.etag}&quot;</ETag><Size>{part.size}</Size>{checksum_elements(part.checksums)}</Part>"
        for part in parts
    ]
    people = "".join(person(tag, owner.id, owner.display_name) for tag in ("Initiator", "Owner"))
    return document(
        "ListPartsResult",
        f"<Bucket>{bucket}</Bucket><Key>{name_text(upload.key, url)}</Key>{element('UploadId', upload.id)}"
        f"{encoding_type(url)}{people}<StorageClass>{upload.content.storage_class}</StorageClass>"
        f"<PartNumberMarker>{marker}</PartNumberMarker>"
        f"<NextPartNumberMarker>{parts[-1].number if parts else 0}</NextPartNumberMarker>"
        f"<MaxParts>{max_parts}</MaxParts><IsTruncated>{flag(truncated)}</IsTruncated>"
        f"{_algorithm(upload)}{''.join(rows)}",
    )


def _algorithm(upload: Upload) -> str:
    algorithm, kind = upload.checksum_algorithm or None, upload.checksum_type or None
    return element("ChecksumAlgorithm", algorithm) + element("ChecksumType", kind)


def list_uploads(
    bucket: str,
    uploads: Sequence[Upload],
    prefixes: Sequence[bytes],
    *,
    prefix: str,
    delimiter: str | None,
    key_marker: str,
    upload_id_marker: str,
    max_uploads: int,
    url: bool,
    after: tuple[bytes, str] | None,
    owners: Mapping[str, str],
) -> bytes:
    """API_ListMultipartUploads.html. ``after``: the last key and upload id where more follow, else None.

    S3 was recorded to name the last upload on the last page too, and to leave both elements empty where there is none.
    """
    rows = [
        f"<Upload><Key>{name_text(upload.key, url)}</Key>{element('UploadId', upload.id)}"
        f"{person('Initiator', upload.owner, owners.get(upload.owner, ''))}"
        f"{person('Owner', upload.owner, owners.get(upload.owner, ''))}"
        f"<StorageClass>{upload.content.storage_class}</StorageClass>"
        f"<Initiated>{format_iso(upload.started)}</Initiated>{_algorithm(upload)}</Upload>"
        for upload in uploads
    ]
    following = ""
    if max_uploads:
        key, upload_id = after or ((uploads[-1].key, uploads[-1].id) if uploads else (b"", ""))
        following = f"<NextKeyMarker>{name_text(key, url)}</NextKeyMarker>{element('NextUploadIdMarker', upload_id)}"
    return document(
        "ListMultipartUploadsResult",
        f"<Bucket>{bucket}</Bucket>{element('KeyMarker', key_marker, url)}{element('UploadIdMarker', upload_id_marker)}"
        f"{following}{element('Prefix', prefix or None, url)}{element('Delimiter', delimiter, url)}{encoding_type(url)}"
        f"<MaxUploads>{max_uploads}</MaxUploads><IsTruncated>{flag(after is not None)}</IsTruncated>"
        f"{''.join(rows)}{common_prefixes(prefixes, url)}",
    )


# ---------------------------------------------------------------- copies, deletions, attributes


def copy_object(etag: str, modified: float, checksums: Mapping[str, str] = NOTHING, checksum_type: str = "") -> bytes:
    """API_CopyObject.html"""
    return document("CopyObjectResult", _copied(etag, modified) + checksum_elements(checksums, checksum_type))


def copy_part(etag: str, modified: float, checksums: Mapping[str, str] = NOTHING) -> bytes:
    """API_UploadPartCopy.html"""
    return document("CopyPartResult", _copied(etag, modified) + checksum_elements(checksums))


def _copied(etag: str, modified: float) -> str:
    return f"<LastModified>{format_iso(modified)}</LastModified><ETag>&quot;{etag}&quot;</ETag>"


@dataclass(frozen=True, slots=True)
class Deletion:
    """What became of one object of a DeleteObjects: deleted where ``code`` is "", else an S3 error."""

    key: bytes
    version_id: str | None = None
    code: str = ""
    message: str = ""


def delete_result(deletions: Iterable[Deletion], quiet: bool) -> bytes:
    """API_DeleteObjects.html; ``quiet`` leaves out what went well."""
    rows = []
    for each in deletions:
        name = f"<Key>{name_text(each.key, False)}</Key>{element('VersionId', each.version_id)}"
        if each.code:
            rows.append(f"<Error>{name}<Code>{each.code}</Code>{element('Message', each.message)}</Error>")
        elif not quiet:
            rows.append(f"<Deleted>{name}</Deleted>")
    return document("DeleteResult", "".join(rows))


@dataclass(frozen=True, slots=True)
class PartsPage:
    """A page of GetObjectAttributes' ObjectParts. S3 lists parts only where they have checksums."""

    total: int
    marker: int
    max_parts: int
    truncated: bool
    parts: Sequence[PartFacts]


def object_attributes(
    *,
    etag: str | None = None,
    checksums: Mapping[str, str] = NOTHING,
    checksum_type: str = "",
    parts: PartsPage | None = None,
    storage_class: str | None = None,
    size: int | None = None,
) -> bytes:
    """API_GetObjectAttributes.html: what was not asked for is left out; this ETag alone has no quotes."""
    inner = element("ETag", etag)
    if checksums:
        inner += f"<Checksum>{checksum_elements(checksums, checksum_type)}</Checksum>"
    if parts is not None:
        inner += _object_parts(parts)
    inner += element("StorageClass", storage_class) + element("ObjectSize", None if size is None else str(size))
    return document("GetObjectAttributesResponse", inner)


def _object_parts(page: PartsPage) -> str:
    if not page.parts:
        return f"<ObjectParts><PartsCount>{page.total}</PartsCount></ObjectParts>"
    rows = [
        f"<Part><PartNumber>{part.number}</PartNumber><Size>{part.size}</Size>{checksum_elements(part.checksums)}</Part>"
        for part in page.parts
    ]
    return (
        f"<ObjectParts><PartsCount>{page.total}</PartsCount><PartNumberMarker>{page.marker}</PartNumberMarker>"
        f"<NextPartNumberMarker>{page.parts[-1].number}</NextPartNumberMarker><MaxParts>{page.max_parts}</MaxParts>"
        f"<IsTruncated>{flag(page.truncated)}</IsTruncated>{''.join(rows)}</ObjectParts>"
    )
