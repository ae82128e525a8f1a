"""The documents that list a bucket's objects: a page of keys and common prefixes, in three shapes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from gateway.model import ListingPage
from gateway.wire.request import format_iso
from gateway.wire.xml_text import common_prefixes, document, element, encoding_type, flag, name_text, names_text, person


@lru_cache(maxsize=64)
def _kind(algorithm: str, checksum_type: str) -> str:
    """Which checksum an object has."""
    return element("ChecksumAlgorithm", algorithm or None) + element("ChecksumType", checksum_type or None)


def _contents(
    page: ListingPage, url: bool, owners: Mapping[str, str] | None, tag: str = "Contents", version: str = ""
) -> str:
    """The rows of a page; ``owners`` (account id -> display name) is None where owners are not shown.

    ``tag``: a row's element; ``version``: those elements of each row that tell which version of its key it is.
    """
    people = {identity: person("Owner", identity, name) for identity, name in (owners or {}).items()}
    names = names_text([item.key for item in page.objects], url)
    rows = [
        f"<{tag}><Key>{name}</Key>{version}<LastModified>{format_iso(item.modified)}</LastModified>"
        f"<ETag>&quot;{item.etag}&quot;</ETag>{_kind(item.checksum_algorithm, item.checksum_type)}"
        f"<Size>{item.size}</Size>{people.get(item.owner, '')}"
        f"<StorageClass>{item.storage_class}</StorageClass></{tag}>"
        for name, item in zip(names, page.objects, strict=True)
    ]
    return "".join(rows)


def list_objects(
    bucket: str,
    page: ListingPage,
    *,
    prefix: str,
    marker: str,
    delimiter: str | None,
    max_keys: int,
    url: bool,
    next_marker: bytes | None,
    owners: Mapping[str, str],
) -> bytes:
    """API_ListObjects.html. ``url``: encoding-type=url; ``next_marker``: only where there is a delimiter.

    Prefix comes back as it was sent: SDKs decode it in version 2 only.
    """
    return document(
        "ListBucketResult",
        f"<Name>{bucket}</Name>{element('Prefix', prefix)}{element('Marker', marker, url)}"
        + (f"<NextMarker>{name_text(next_marker, url)}</NextMarker>" if next_marker is not None else "")
        + f"<MaxKeys>{max_keys}</MaxKeys>{element('Delimiter', delimiter, url)}{encoding_type(url)}"
        f"<IsTruncated>{flag(page.after is not None)}</IsTruncated>"
        f"{_contents(page, url, owners)}{common_prefixes(page.prefixes, url)}",
    )


def list_objects_v2(
    bucket: str,
    page: ListingPage,
    *,
    prefix: str,
    delimiter: str | None,
    max_keys: int,
    url: bool,
    start_after: str | None = None,
    token: str | None = None,
    next_token: str | None = None,
    owners: Mapping[str, str] | None = None,
) -> bytes:
    """API_ListObjectsV2.html. ``owners`` is None unless fetch-owner was true."""
    return document(
        "ListBucketResult",
        f"<Name>{bucket}</Name>{element('Prefix', prefix, url)}{element('StartAfter', start_after, url)}"
        f"{element('ContinuationToken', token)}{element('NextContinuationToken', next_token)}"
        f"<KeyCount>{len(page.objects) + len(page.prefixes)}</KeyCount><MaxKeys>{max_keys}</MaxKeys>"
        f"{element('Delimiter', delimiter, url)}{encoding_type(url)}"
        f"<IsTruncated>{flag(page.after is not None)}</IsTruncated>"
        f"{_contents(page, url, owners)}{common_prefixes(page.prefixes, url)}",
    )


def list_versions(
    bucket: str,
    page: ListingPage,
    *,
    prefix: str,
    marker: str,
    version_marker: str,
    delimiter: str | None,
    max_keys: int,
    url: bool,
    owners: Mapping[str, str],
) -> bytes:
    """API_ListObjectVersions.html, of a bucket that never had versioning: each key has the one version "null"."""
    following = ""
    if page.after is not None:
        last_is_key = bool(page.objects) and page.objects[-1].key == page.after
        following = f"<NextKeyMarker>{name_text(page.after, url)}</NextKeyMarker>" + element(
            "NextVersionIdMarker", "null" if last_is_key else None
        )
    which = "<VersionId>null</VersionId><IsLatest>true</IsLatest>"
    return document(
        "ListVersionsResult",
        f"<Name>{bucket}</Name>{element('Prefix', prefix, url)}{element('KeyMarker', marker, url)}"
        f"{element('VersionIdMarker', version_marker)}{following}<MaxKeys>{max_keys}</MaxKeys>"
        f"{element('Delimiter', delimiter, url)}{encoding_type(url)}"
        f"<IsTruncated>{flag(page.after is not None)}</IsTruncated>"
        f"{_contents(page, url, owners, 'Version', which)}{common_prefixes(page.prefixes, url)}",
    )
