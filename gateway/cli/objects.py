"""What the file commands want of S3: buckets, listings page by page, deletions in batches, uploads in parts."""

from __future__ import annotations

import base64
import hashlib
import http.client
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from xml.sax.saxutils import escape

import click

from gateway.cli.client import Client, Content, Text, decoded, path_of
from gateway.model import NOTHING

BATCH = 1000  # S3's most keys of one DeleteObjects
CHECKSUM = "x-amz-checksum-crc64nvme"


@dataclass(frozen=True, slots=True)
class Found:
    """One line of a listing: an object (``size`` is set), a folder or a bucket."""

    name: str
    size: int | None = None
    modified: str = ""


class Objects:
    """Raises what Client raises."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def buckets(self) -> Iterator[Found]:
        for one in self.client.document("GET", "/").iter("Bucket"):
            yield Found(one.findtext("Name", ""), modified=one.findtext("CreationDate", ""))

    def list(self, bucket: str, prefix: str, *, deep: bool) -> Iterator[Found]:
        """Objects below ``prefix`` in the order of their keys, page by page; unless ``deep``, one level and folders."""
        token = ""
        while True:
            query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
            if not deep:
                query["delimiter"] = "/"
            if token:
                query["continuation-token"] = token
            page = self.client.document("GET", path_of(bucket), query)
            found = [Found(decoded(one.findtext("Prefix", ""))) for one in page.iter("CommonPrefixes")]
            for one in page.iter("Contents"):
                size, modified = int(one.findtext("Size", "0")), one.findtext("LastModified", "")
                found.append(Found(decoded(one.findtext("Key", "")), size, modified))
            yield from sorted(found, key=lambda one: one.name.encode(errors="replace"))
            token = page.findtext("NextContinuationToken", "")
            if not token:
                return

    def tree(self, bucket: str, key: str) -> Iterator[Found]:
        """The object ``key`` itself, then everything below it as if it were a folder; "" is the whole bucket."""
        if key and not key.endswith("/"):
            query = {"list-type": "2", "prefix": key, "max-keys": "1", "encoding-type": "url"}
            for one in self.client.document("GET", path_of(bucket), query).iter("Contents"):
                if decoded(one.findtext("Key", "")) == key:  # the first with a prefix is the prefix itself
                    yield Found(key, int(one.findtext("Size", "0")), one.findtext("LastModified", ""))
            key += "/"
        yield from self.list(bucket, key, deep=True)

    def get(self, bucket: str, key: str) -> http.client.HTTPResponse:
        return self.client.ask("GET", path_of(bucket, key), headers={"x-amz-checksum-mode": "ENABLED"})

    def exists(self, bucket: str, key: str) -> None:
        """Raises S3Refused where there is no such object."""
        self.client.ask("HEAD", path_of(bucket, key)).read()

    def put(self, bucket: str, key: str, body: Content, headers: Mapping[str, str]) -> None:
        self.client.ask("PUT", path_of(bucket, key), headers=headers, body=body).read()

    def delete(self, bucket: str, key: str) -> None:
        self.client.ask("DELETE", path_of(bucket, key)).read()

    def delete_many(self, bucket: str, keys: Sequence[str]) -> dict[str, str]:
        """Delete up to BATCH keys; what was refused, with S3's code and message."""
        lines = "".join(f"<Object><Key>{_escaped(key)}</Key></Object>" for key in keys)
        text = f"<Delete><Quiet>true</Quiet>{lines}</Delete>".encode()
        digest = base64.b64encode(hashlib.md5(text, usedforsecurity=False).digest()).decode()
        page = self.client.document(
            "POST", path_of(bucket), {"delete": ""}, headers={"content-md5": digest}, body=Text(text)
        )
        return {
            one.findtext("Key", ""): f"{one.findtext('Code', '?')}: {one.findtext('Message', '')}"
            for one in page.iter("Error")
        }

    def start_parts(self, bucket: str, key: str, headers: Mapping[str, str]) -> str:
        """The id of a new upload whose whole has a CRC64NVME."""
        wanted = {**headers, "x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "FULL_OBJECT"}
        page = self.client.document("POST", path_of(bucket, key), {"uploads": ""}, headers=wanted)
        return page.findtext("UploadId", "")

    def put_part(self, bucket: str, key: str, upload: str, number: int, body: Content, crc: str) -> str:
        """Store one part; its ETag."""
        query = {"partNumber": str(number), "uploadId": upload}
        reply = self.client.ask("PUT", path_of(bucket, key), query, headers={CHECKSUM: crc}, body=body)
        reply.read()
        return reply.headers.get("ETag", "")

    def join_parts(
        self,
        bucket: str,
        key: str,
        upload: str,
        parts: Sequence[tuple[str, str]],
        crc: str,
        headers: Mapping[str, str] = NOTHING,
    ) -> None:
        """Make the object of (ETag, CRC) of its parts; ``crc`` is that of the whole."""
        lines = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag>"
            f"<ChecksumCRC64NVME>{one}</ChecksumCRC64NVME></Part>"
            for number, (etag, one) in enumerate(parts, 1)
        )
        text = f"<CompleteMultipartUpload>{lines}</CompleteMultipartUpload>".encode()
        wanted = {**headers, CHECKSUM: crc, "x-amz-checksum-type": "FULL_OBJECT"}
        self.client.document("POST", path_of(bucket, key), {"uploadId": upload}, headers=wanted, body=Text(text))

    def abort(self, bucket: str, key: str, upload: str) -> None:
        """End an upload and forget its parts; whatever ended it early is what the operator is told, not this."""
        self.client.close()  # whatever was on its way when it failed
        with suppress(click.ClickException):
            self.client.ask("DELETE", path_of(bucket, key), {"uploadId": upload}).read()


def _escaped(key: str) -> str:
    """A key in XML; line ends and tabs by number, else a parser would change them."""
    return escape(key, {"\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})
